"""DNS messages, the side of who answers (RFC 1035; EDNS, RFC 6891): queries in, replies out."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from ipaddress import IPv4Address
from typing import NamedTuple

from cgtproxy.proxy.protocols.dns import (
    CD,
    HEADER,
    IN,
    MAX_UDP,
    NOERROR,
    OPCODE,
    OPT,
    QR,
    QUESTION,
    RA,
    RCODE,
    RD,
    RECORD,
    TC,
    MalformedError,
    Record,
    read_name,
    records,
)

MIN_UDP = 512  # bytes that a client without EDNS takes (RFC 1035, section 2.3.4)
MAX_QUERY = 4096  # bytes that are worth the time to read them
MAX_RECORDS = 8  # likewise; who asks has an OPT, perhaps a TSIG
_DNSSEC_OK = 0x8000
_AFTER_ID = struct.Struct("!5H")  # of the header
_OPTION = struct.Struct("!HH")
_POINTER4 = re.compile(r"(?:[0-9]{1,3}\.){4}in-addr\.arpa")  # RFC 1035, section 3.5
_POINTER6 = re.compile(r"(?:[0-9a-f]\.){32}ip6\.arpa")  # RFC 3596, section 2.5


class Edns(NamedTuple):
    """A client's OPT record: the size of its UDP buffer in bytes, EDNS's version, the DO bit."""

    size: int
    version: int
    dnssec_ok: bool


class Query(NamedTuple):
    """The one question of a query, which ends at offset `end`, and its EDNS if it has one."""

    name: str
    rrtype: int
    class_: int
    end: int
    edns: Edns | None

    @property
    def udp_size(self) -> int:
        """The most bytes that a reply over UDP may have."""
        return max(MIN_UDP, min(self.edns.size, MAX_UDP)) if self.edns else MIN_UDP


def is_query(data: bytes) -> bool:
    """Whether it can be answered at all: it has a header, and is no response (QR)."""
    return len(data) >= HEADER.size and data[2] < 0x80


def opcode(data: bytes) -> int:
    """The opcode of a message that has a header: 0 is QUERY."""
    return (data[2] << 8 & OPCODE) >> 11


def parse_query(data: bytes) -> Query:
    """Parse a message of opcode QUERY. Raises MalformedError, also for more than MAX_QUERY bytes
    or MAX_RECORDS records."""
    try:
        return _query(data)
    except (IndexError, struct.error):
        raise MalformedError("the message is cut short") from None


def _query(data: bytes) -> Query:
    if len(data) > MAX_QUERY:
        raise MalformedError(f"a query of {len(data)} bytes")
    _, _, questions, answers, authorities, additional = HEADER.unpack_from(data)
    if questions != 1:  # RFC 9619
        raise MalformedError(f"{questions} questions")
    before = answers + authorities
    if before + additional > MAX_RECORDS:
        raise MalformedError(f"{before + additional} records in a query")
    name, at = read_name(data, HEADER.size)
    rrtype, class_ = QUESTION.unpack_from(data, at)
    end = reached = at + QUESTION.size
    edns = None
    for number, record in enumerate(records(data, end, before + additional)):
        if record.rrtype == OPT:
            if edns or record.name or number < before:  # RFC 6891, section 6.1.1
                raise MalformedError("a misplaced OPT record")
            edns = _edns(data, record)
        reached = record.end
    if reached != len(data):
        raise MalformedError("something follows the message")
    return Query(name, rrtype, class_, end, edns)


def _edns(data: bytes, record: Record) -> Edns:
    at = record.start
    while at < record.end:
        _, length = _OPTION.unpack_from(data, at)
        at += _OPTION.size + length
    if at != record.end:
        raise MalformedError("an EDNS option is cut short")
    version = record.ttl >> 16 & 0xFF
    return Edns(record.class_, version, bool(record.ttl & _DNSSEC_OK))


def address_of_pointer(name: str) -> bytes | None:
    """The packed address that a name below in-addr.arpa or ip6.arpa stands for, if it does."""
    labels = name.split(".")[-3::-1]
    if _POINTER6.fullmatch(name):
        return bytes.fromhex("".join(labels))
    if _POINTER4.fullmatch(name):
        with suppress(ValueError):
            return IPv4Address(".".join(labels)).packed
    return None


def record(rrtype: int, ttl: int, data: bytes) -> bytes:
    """A record of the name that is asked for, to which it points: all questions begin at 12."""
    return record_head(rrtype, ttl, len(data)) + data


def record_head(rrtype: int, ttl: int, size: int) -> bytes:
    """What precedes the `size` bytes of such a record's data."""
    return b"\xc0\x0c" + RECORD.pack(rrtype, IN, ttl, size)


def reply(data: bytes, query: Query, rcode: int = NOERROR, *records: bytes) -> bytes:
    """The reply to `data`, parsed as `query`, with `records` in its answer section."""
    flags = _reply_flags(data) | rcode & RCODE
    header = data[:2] + _AFTER_ID.pack(flags, 1, len(records), 0, bool(query.edns))
    return b"".join((header, data[HEADER.size : query.end], *records, _opt(query, rcode)))


def failure(data: bytes, rcode: int) -> bytes:
    """The reply to a message of which no more than the header is understood: no question."""
    return data[:2] + _AFTER_ID.pack(_reply_flags(data) | rcode, 0, 0, 0, 0)


def _reply_flags(data: bytes) -> int:
    flags = int.from_bytes(data[2:4], "big")
    return QR | RA | flags & (OPCODE | RD | CD)  # CD: RFC 4035, section 3.2.2


def _opt(query: Query, rcode: int = NOERROR) -> bytes:
    if not query.edns:
        return b""
    flags = rcode >> 4 << 24 | (_DNSSEC_OK if query.edns.dnssec_ok else 0)  # DO: RFC 3225
    return b"\0" + RECORD.pack(OPT, MAX_UDP, flags, 0)


def truncate(answer: bytes, data: bytes, query: Query) -> bytes:
    """The `answer` of another server to the query `data` without its records and with TC set, so
    that the client asks over TCP."""
    flags = int.from_bytes(answer[2:4], "big") | TC
    header = data[:2] + _AFTER_ID.pack(flags, 1, 0, 0, bool(query.edns))
    return header + data[HEADER.size : query.end] + _opt(query)
