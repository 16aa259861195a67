"""Expressions of nf_tables as netlink attributes: what nft's statements are compiled to."""

from __future__ import annotations

from cgtproxy.nft import wire
from cgtproxy.runtime.netlink.wire import attribute, be32, nested, string, u8

VERDICT_REGISTER, REGISTER, SECOND_REGISTER = 0, 1, 2
META_MARK, META_IIF, META_OIF, META_SKUID, META_NFPROTO, META_L4PROTO = 3, 4, 5, 10, 15, 16
CT_STATE, CT_DIRECTION, CT_STATUS, CT_MARK, CT_ZONE = 0, 1, 2, 3, 17
CMP_EQ, CMP_NEQ = 0, 1
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
SOCKET_CGROUPV2 = 3
FIB_ADDRTYPE, FIB_F_SADDR = 3, 1
REJECT_TCP_RESET, REJECT_ICMPX = 1, 2
ICMPX_PORT_UNREACHABLE = 1
NAT_DNAT = 1


def data(kind: int, value: bytes) -> bytes:
    """A value as an attribute of this number."""
    return nested(kind, attribute(wire.DATA_VALUE, value))


def meta(key: int) -> bytes:
    """Load what is known of the packet itself (META_*)."""
    return wire.expression("meta", be32(wire.META_DREG, REGISTER), be32(wire.META_KEY, key))


def set_meta(key: int) -> bytes:
    """Set it (META_*) to the register."""
    return wire.expression("meta", be32(wire.META_KEY, key), be32(wire.META_SREG, REGISTER))


def ct(key: int) -> bytes:
    """Load what conntrack knows of the packet's connection (CT_*)."""
    return wire.expression("ct", be32(wire.CT_DREG, REGISTER), be32(wire.CT_KEY, key))


def set_ct(key: int, direction: int | None = None) -> bytes:
    """Set it (CT_*) to the register; for both directions where none is given."""
    parts = [be32(wire.CT_KEY, key)]
    if direction is not None:
        parts.append(u8(wire.CT_DIRECTION, direction))
    return wire.expression("ct", *parts, be32(wire.CT_SREG, REGISTER))


def mask(value: bytes) -> bytes:
    """Keep the bits of the register that `value` has."""
    return wire.expression(
        "bitwise",
        be32(wire.BITWISE_SREG, REGISTER),
        be32(wire.BITWISE_DREG, REGISTER),
        be32(wire.BITWISE_LEN, len(value)),
        data(wire.BITWISE_MASK, value),
        data(wire.BITWISE_XOR, bytes(len(value))),
    )


def compare(value: bytes, operator: int = CMP_EQ) -> bytes:
    """Leave the rule unless the register is `value`, or with CMP_NEQ if it is."""
    return wire.expression(
        "cmp",
        be32(wire.CMP_SREG, REGISTER),
        be32(wire.CMP_OP, operator),
        data(wire.CMP_DATA, value),
    )


def payload(base: int, offset: int, length: int) -> bytes:
    """Load so many bytes of a header."""
    return wire.expression(
        "payload",
        be32(wire.PAYLOAD_DREG, REGISTER),
        be32(wire.PAYLOAD_BASE, base),
        be32(wire.PAYLOAD_OFFSET, offset),
        be32(wire.PAYLOAD_LEN, length),
    )


def lookup(name: str, *, into_verdict: bool = False, inverted: bool = False) -> bytes:
    """Look the register up in a set; `into_verdict`: in a map, whose verdict is then executed."""
    parts = [string(wire.LOOKUP_SET, name), be32(wire.LOOKUP_SREG, REGISTER)]
    if into_verdict:
        parts.append(be32(wire.LOOKUP_DREG, VERDICT_REGISTER))
    if inverted:
        parts.append(be32(wire.LOOKUP_FLAGS, wire.LOOKUP_F_INV))
    return wire.expression("lookup", *parts)


def immediate(value: bytes, register: int = REGISTER) -> bytes:
    """Load a constant."""
    return wire.expression(
        "immediate", be32(wire.IMMEDIATE_DREG, register), data(wire.IMMEDIATE_DATA, value)
    )


def verdict(code: str, chain: str) -> bytes:
    """End the rule; `chain` is empty but for goto and jump."""
    return wire.expression(
        "immediate",
        be32(wire.IMMEDIATE_DREG, VERDICT_REGISTER),
        nested(wire.IMMEDIATE_DATA, wire.verdict(code, chain)),
    )


def source_type() -> bytes:
    """The routing type (RTN_*) that the source address has in this namespace."""
    return wire.expression(
        "fib",
        be32(wire.FIB_DREG, REGISTER),
        be32(wire.FIB_RESULT, FIB_ADDRTYPE),
        be32(wire.FIB_FLAGS, FIB_F_SADDR),
    )


def cgroup(level: int) -> bytes:
    """The id of the ancestor at this level of the socket's cgroup."""
    return wire.expression(
        "socket",
        be32(wire.SOCKET_KEY, SOCKET_CGROUPV2),
        be32(wire.SOCKET_DREG, REGISTER),
        be32(wire.SOCKET_LEVEL, level),
    )


def tproxy_to_port() -> bytes:
    """To the port in the register, whatever the family."""
    return wire.expression(
        "tproxy", be32(wire.TPROXY_FAMILY, 0), be32(wire.TPROXY_REG_PORT, REGISTER)
    )


def reject(how: int, code: int) -> bytes:
    """Refuse the packet, by RST or ICMP (REJECT_*); `code` is the ICMP error's."""
    return wire.expression("reject", be32(wire.REJECT_TYPE, how), u8(wire.REJECT_ICMP_CODE, code))


def dnat(family: int) -> bytes:
    """To the address in the register and the port in the second one."""
    return wire.expression(
        "nat",
        be32(wire.NAT_TYPE, NAT_DNAT),
        be32(wire.NAT_FAMILY, family),
        be32(wire.NAT_REG_ADDR_MIN, REGISTER),
        be32(wire.NAT_REG_PROTO_MIN, SECOND_REGISTER),
    )
