"""DNS messages (RFC 1035): names, records, and the side of who asks.

Sections without an RFC are of RFC 1035. Messages are bytes without the length that precedes them
over TCP; names are text as read_name() gives it; an rrtype is a record type's number.
"""

from __future__ import annotations

import re
import string
import struct
from collections.abc import Iterator
from typing import NamedTuple

A, CNAME, PTR, AAAA, OPT, SVCB, HTTPS, ANY = 1, 5, 12, 28, 41, 64, 65, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
QR, OPCODE, TC, RD, RA, CD, RCODE = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080, 0x0010, 0x000F
MAX_UDP = 1232  # bytes of a message, which no link fragments (IPv6's least MTU)

HEADER = struct.Struct("!6H")  # id, flags, the sections' numbers of records (section 4.1.1)
QUESTION = struct.Struct("!HH")  # what follows its name: type, class
RECORD = struct.Struct("!HHIH")  # what follows the name: type, class, TTL, length of the data
_MAX_NAME = 255
_MAX_POINTERS = 127  # as many as a name can have labels
_PLAIN = re.compile(rb"[A-Za-z0-9_.-]+")
_ESCAPES = {
    byte: f"\\{byte:03}"
    for byte in range(256)
    if chr(byte) not in string.ascii_lowercase + string.digits + "-_"
}
_ADDRESS_SIZES = {A: 4, AAAA: 16}
_WITHOUT_QUESTION = (FORMERR, SERVFAIL, NOTIMP, REFUSED)


class MalformedError(ValueError):
    """The bytes are no DNS message, or not the one that was waited for; says why."""


class Addresses(NamedTuple):
    """What a name resolved to: packed addresses, and their least TTL in seconds."""

    rcode: int
    found: tuple[bytes, ...]
    ttl: int


class Record(NamedTuple):
    """A resource record; its data is from `start` up to `end` of the message (section 4.1.3)."""

    name: str
    rrtype: int
    class_: int
    ttl: int
    start: int
    end: int


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name at offset `at`, in lower case and without the last dot, and where it ends.

    Bytes that no host's name has are escaped as \\DDD, so that names are equal if their texts are.
    Raises MalformedError, and IndexError where the message is cut short.
    """
    labels, size, end, pointers = [], 1, 0, 0
    limit = at
    while length := data[at]:
        if length < 64:
            labels.append(data[at + 1 : at + 1 + length])
            at += 1 + length
            size += 1 + length
        elif length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            # To an earlier name only (RFC 1035, section 4.1.4), so it ends; the first has none.
            if not HEADER.size <= at < limit or pointers == _MAX_POINTERS:
                raise MalformedError("a pointer leads astray")
            limit, pointers = at, pointers + 1
        else:
            raise MalformedError(f"a label of type {length >> 6}")
        if size > _MAX_NAME:
            raise MalformedError("the name is too long")
    return _text(labels) if labels else "", end or at + 1


def _text(labels: list[bytes]) -> str:
    joined = b".".join(labels)
    if _PLAIN.fullmatch(joined) and joined.count(b".") == len(labels) - 1:
        return joined.decode("ascii").lower()
    return ".".join(label.lower().decode("latin-1").translate(_ESCAPES) for label in labels)


def write_name(name: str) -> bytes:
    """The name in wire format, uncompressed (section 3.1). Raises ValueError for what is none."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    if not all(0 < len(label) < 64 for label in labels):
        raise MalformedError(f"{name!r} is no name")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > _MAX_NAME:
        raise MalformedError(f"{name!r} is too long")
    return wire


def records(data: bytes, at: int, count: int) -> Iterator[Record]:
    """The `count` records that begin at offset `at`.

    Raises MalformedError, and IndexError or struct.error where the message is cut short.
    """
    for _ in range(count):
        name, at = read_name(data, at)
        rrtype, class_, ttl, length = RECORD.unpack_from(data, at)
        start = at + RECORD.size
        at = start + length
        if at > len(data):
            raise MalformedError("a record is cut short")
        yield Record(name, rrtype, class_, ttl, start, at)


def build_query(id_: int, name: str, rrtype: int, *, edns: bool = True) -> bytes:
    """A query of class IN, recursion desired. Raises ValueError for what is no host's name."""
    opt = b"\0" + RECORD.pack(OPT, MAX_UDP, 0, 0) if edns else b""
    header = HEADER.pack(id_, RD, 1, 0, 0, bool(edns))
    return header + write_name(name) + QUESTION.pack(rrtype, IN) + opt


def is_answer(query: bytes, message: bytes) -> bool:
    """Whether `message` is a response to `query`, by RFC 5452, section 9.1: the same id, opcode and
    question. `query` must be well-formed and have one question.

    Case does not count in names. A server that has understood no more than the header may leave
    the question out.
    """
    if len(message) < HEADER.size or message[:2] != query[:2]:
        return False
    sent, flags = (int.from_bytes(data[2:4], "big") for data in (query, message))
    if not flags & QR or (sent ^ flags) & OPCODE:
        return False
    questions = int.from_bytes(message[4:6], "big")
    if not questions:
        return flags & RCODE in _WITHOUT_QUESTION
    # Nothing precedes the first name to which a pointer could lead: it is the same byte for byte.
    name_end = HEADER.size
    while length := query[name_end]:
        name_end += 1 + length
    name, rest = slice(HEADER.size, name_end), slice(name_end, name_end + 1 + QUESTION.size)
    return (
        questions == 1
        and query[rest] == message[rest]
        and query[name].lower() == message[name].lower()  # which leaves lengths as they are
    )


def parse_addresses(query: bytes, answer: bytes) -> Addresses:
    """The addresses in the answer to a query for A or AAAA, at the end of its chain of aliases.

    There are none where `rcode` is not NOERROR. Raises MalformedError, also for a message that
    is_answer() refuses, and for one that is truncated before the first address.
    """
    if not is_answer(query, answer):
        raise MalformedError("the answer is to another question")
    _, flags, _, answers, _, _ = HEADER.unpack_from(answer)
    if rcode := flags & RCODE:
        return Addresses(rcode, (), 0)
    try:
        name, end = read_name(query, HEADER.size)
        rrtype, _ = QUESTION.unpack_from(query, end)
        rows = list(records(answer, end + QUESTION.size, answers))
        found, ttl = _follow(answer, rows, name, rrtype)
    except (IndexError, struct.error):
        raise MalformedError("the message is cut short") from None
    if not found and flags & TC:
        raise MalformedError("the answer is truncated")
    return Addresses(rcode, found, ttl)


def _follow(
    data: bytes, answers: list[Record], name: str, rrtype: int
) -> tuple[tuple[bytes, ...], int]:
    """The addresses at the end of the chain of aliases, and the least TTL on the way."""
    aliases = {r.name: r for r in answers if r.rrtype == CNAME and r.class_ == IN}
    ttls = []
    while alias := aliases.pop(name, None):
        name, _ = read_name(data, alias.start)
        ttls.append(alias.ttl)
    at_end = [r for r in answers if (r.name, r.rrtype, r.class_) == (name, rrtype, IN)]
    if any(r.end - r.start != _ADDRESS_SIZES[rrtype] for r in at_end):
        raise MalformedError("an address of the wrong size")
    ttls += [r.ttl for r in at_end]
    # A TTL with its highest bit set counts as 0 (RFC 2181, section 8).
    ttl = min((ttl if ttl < 1 << 31 else 0 for ttl in ttls), default=0)
    return tuple(data[r.start : r.end] for r in at_end), ttl
