"""Netlink messages and attributes, encoded and decoded (RFC 3549, linux/netlink.h)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Message(NamedTuple):
    """One netlink message; `body` begins after the netlink header."""

    kind: int
    flags: int
    seq: int
    portid: int
    body: bytes


class Ack(NamedTuple):
    """An acknowledgement: `errno` is 0 or positive, `seq` that of the message it answers."""

    errno: int
    seq: int
    text: str


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes; a length of 16 bits is all the header has."""
    length = 4 + len(payload)
    if length > 0xFFFF:
        raise ValueError(f"netlink attribute {kind} of {length} bytes: 65535 at most")
    return _ATTRIBUTE.pack(length, kind) + payload + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others (NLA_F_NESTED)."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def string(kind: int, text: str) -> bytes:
    """An attribute with text that ends in NUL."""
    return attribute(kind, text.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """An attribute of one byte."""
    return attribute(kind, bytes((value,)))


def u32(kind: int, value: int) -> bytes:
    """In the host's byte order, as rtnetlink has its numbers."""
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """In network byte order, as nfnetlink has its numbers."""
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


def message(kind: int, flags: int, body: bytes, seq: int = 0) -> bytes:
    """A message with its header (struct nlmsghdr), padded to 4 bytes."""
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, kind, flags, seq, 0) + body + _PADDING[length & 3]


def parse_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram; a truncated tail is left out."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, seq, portid = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield Message(kind, flags, seq, portid, data[offset + _HEADER.size : offset + length])
        offset += length + (-length & 3)


def parse_attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes from `offset` on, as (type without flags, payload)."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += length + (-length & 3)


def parse_ack(answer: Message) -> Ack:
    """Decode an NLMSG_ERROR or NLMSG_DONE message (an errno of 0: all went well)."""
    if len(answer.body) < _ERRNO.size:
        return Ack(errno.EBADMSG, answer.seq, "")
    (code,) = _ERRNO.unpack_from(answer.body)
    text = ""
    if answer.flags & NLM_F_ACK_TLVS:
        for kind, value in parse_attributes(answer.body, _extended(answer)):
            if kind == NLMSGERR_ATTR_MSG:
                text = value.rstrip(b"\0").decode("utf-8", "replace")
    return Ack(-code, answer.seq, text)


def _extended(answer: Message) -> int:
    """Where an answer's attributes begin; an error has its request, or the header of it, before."""
    offset, body = _ERRNO.size, answer.body
    if answer.kind == NLMSG_DONE or len(body) < offset + _HEADER.size:
        return offset
    if answer.flags & NLM_F_CAPPED:
        return offset + _HEADER.size
    length: int = _HEADER.unpack_from(body, offset)[0]
    return offset + max(_HEADER.size, length)
