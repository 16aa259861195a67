"""Expressions of nf_tables as netlink attributes: what nft's statements are compiled to."""

from __future__ import annotations

from cgtproxy.nft import wire
from cgtproxy.runtime.netlink.wire import attribute, be32, nested, string, u8

REGISTER = 1
VERDICT_REGISTER = 0
META_MARK, META_IIF, META_OIF, META_SKUID, META_NFPROTO, META_L4PROTO = 3, 4, 5, 10, 15, 16
CT_STATE, CT_DIRECTION, CT_STATUS, CT_MARK, CT_ZONE = 0, 1, 2, 3, 17
CMP_EQ, CMP_NEQ = 0, 1
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
SOCKET_CGROUPV2 = 3
FIB_ADDRTYPE, FIB_F_SADDR = 3, 1


def data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(wire.DATA_VALUE, value))


def meta(key: int) -> bytes:
    return wire.expression("meta", be32(1, REGISTER), be32(2, key))


def set_meta(key: int) -> bytes:
    return wire.expression("meta", be32(2, key), be32(3, REGISTER))


def ct(key: int) -> bytes:
    return wire.expression("ct", be32(1, REGISTER), be32(2, key))


def set_ct(key: int, direction: int | None = None) -> bytes:
    """Of both directions where none is told."""
    which = b"" if direction is None else u8(3, direction)
    return wire.expression("ct", be32(2, key), which, be32(4, REGISTER))


def mask(value: bytes) -> bytes:
    length, zero = len(value), bytes(len(value))
    return wire.expression(
        "bitwise",
        *(be32(1, REGISTER), be32(2, REGISTER), be32(3, length)),
        *(data(4, value), data(5, zero)),
    )


def compare(value: bytes, operator: int = CMP_EQ) -> bytes:
    return wire.expression("cmp", be32(1, REGISTER), be32(2, operator), data(3, value))


def payload(base: int, offset: int, length: int) -> bytes:
    return wire.expression(
        "payload", be32(1, REGISTER), be32(2, base), be32(3, offset), be32(4, length)
    )


def lookup(name: str, *, into_verdict: bool = False, inverted: bool = False) -> bytes:
    parts = [string(1, name), be32(2, REGISTER)]
    if into_verdict:
        parts.append(be32(3, VERDICT_REGISTER))
    if inverted:
        parts.append(be32(5, 1))
    return wire.expression("lookup", *parts)


def immediate(value: bytes, register: int = REGISTER) -> bytes:
    return wire.expression("immediate", be32(1, register), data(2, value))


def source_type() -> bytes:
    """The routing type (RTN_*) that the source address has in this namespace."""
    return wire.expression("fib", be32(1, REGISTER), be32(2, FIB_ADDRTYPE), be32(3, FIB_F_SADDR))


def cgroup(level: int) -> bytes:
    return wire.expression("socket", be32(1, SOCKET_CGROUPV2), be32(2, REGISTER), be32(3, level))
