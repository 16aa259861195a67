"""The few nft statements we use, each as text and as the kernel's expressions.

Text and expressions stand side by side, so that what `cgtproxy rules` prints is what is installed;
a test loads the text with nft(8) and compares what the kernel then has.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from cgtproxy.netlink.wire import attribute, be32, nested, string, u8
from cgtproxy.nft import wire

Protocol = Literal["tcp", "udp"]
PROTOCOLS: dict[str, int] = {"tcp": 6, "udp": 17}
NFPROTOS = {4: 2, 6: 10}

REGISTER = 1
VERDICT_REGISTER = 0
META_MARK, META_IIF, META_OIF, META_NFPROTO, META_L4PROTO = 3, 4, 5, 15, 16
CT_DIRECTION, CT_STATUS, CT_ZONE = 1, 2, 17
CT_DIRECTION_ORIGINAL, CT_DIRECTION_REPLY = 0, 1
IPS_DST_NAT = 0x20
CMP_EQ, CMP_NEQ = 0, 1
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
DESTINATION = {4: (16, 4), 6: (24, 16)}  # offset and length in the network header
DESTINATION_PORT = (2, 2)  # alike in TCP and UDP
LOOPBACK_IFINDEX = 1  # include/net/net_namespace.h: the same in every namespace
SOCKET_CGROUPV2 = 3
REJECT_TCP_RESET, REJECT_ICMPX = 1, 2
ICMPX_PORT_UNREACHABLE = 1
NAT_DNAT = 1


@dataclass(frozen=True, slots=True)
class Statement:
    text: str
    expressions: bytes


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(wire.DATA_VALUE, value))


def _meta(key: int) -> bytes:
    return wire.expression("meta", be32(1, REGISTER), be32(2, key))


def _ct(key: int) -> bytes:
    return wire.expression("ct", be32(1, REGISTER), be32(2, key))


def _compare(value: bytes, operator: int = CMP_EQ) -> bytes:
    return wire.expression("cmp", be32(1, REGISTER), be32(2, operator), _data(3, value))


def _payload(base: int, offset: int, length: int) -> bytes:
    return wire.expression(
        "payload", be32(1, REGISTER), be32(2, base), be32(3, offset), be32(4, length)
    )


def _lookup(name: str, *, into_verdict: bool = False, inverted: bool = False) -> bytes:
    parts = [string(1, name), be32(2, REGISTER)]
    if into_verdict:
        parts.append(be32(3, VERDICT_REGISTER))
    if inverted:
        parts.append(be32(5, 1))
    return wire.expression("lookup", *parts)


def _immediate(value: bytes, register: int = REGISTER) -> bytes:
    return wire.expression("immediate", be32(1, register), _data(2, value))


def verdict(code: str, chain: str = "") -> Statement:
    data = nested(2, wire.verdict(code, chain))
    expression = wire.expression("immediate", be32(1, VERDICT_REGISTER), data)
    return Statement(f"{code} {chain}".strip(), expression)


ACCEPT, DROP, RETURN = verdict("accept"), verdict("drop"), verdict("return")


def ct_reply() -> Statement:
    expressions = _ct(CT_DIRECTION) + _compare(bytes((CT_DIRECTION_REPLY,)))
    return Statement("ct direction reply", expressions)


def ct_dnat() -> Statement:
    mask, zero = struct.pack("=I", IPS_DST_NAT), bytes(4)
    bitwise = wire.expression(
        "bitwise", be32(1, REGISTER), be32(2, REGISTER), be32(3, 4), _data(4, mask), _data(5, zero)
    )
    return Statement("ct status dnat", _ct(CT_STATUS) + bitwise + _compare(zero, CMP_NEQ))


def set_ct_original_zone(number: int) -> Statement:
    """Answers stay in zone 0."""
    zone = be32(2, CT_ZONE), u8(3, CT_DIRECTION_ORIGINAL), be32(4, REGISTER)
    expressions = _immediate(struct.pack("=H", number)) + wire.expression("ct", *zone)
    return Statement(f"ct original zone set {number}", expressions)


def family(version: int) -> Statement:
    expressions = _meta(META_NFPROTO) + _compare(bytes((NFPROTOS[version],)))
    return Statement(f"meta nfproto ipv{version}", expressions)


def protocol(name: Protocol) -> Statement:
    expressions = _meta(META_L4PROTO) + _compare(bytes((PROTOCOLS[name],)))
    return Statement(f"meta l4proto {name}", expressions)


def protocol_not_in(set_name: str) -> Statement:
    return Statement(
        f"meta l4proto != @{set_name}", _meta(META_L4PROTO) + _lookup(set_name, inverted=True)
    )


def port(number: int) -> Statement:
    """The destination port, be it TCP's or UDP's."""
    return Statement(
        f"th dport {number}",
        _payload(TRANSPORT_HEADER, *DESTINATION_PORT) + _compare(struct.pack(">H", number)),
    )


def protocol_port(name: Protocol, number: int) -> Statement:
    return Statement(
        f"{name} dport {number}", protocol(name).expressions + port(number).expressions
    )


def destination_in(version: int, set_name: str) -> Statement:
    return Statement(
        f"{'ip' if version == 4 else 'ip6'} daddr @{set_name}",
        family(version).expressions
        + _payload(NETWORK_HEADER, *DESTINATION[version])
        + _lookup(set_name),
    )


def destination(address: IPv4Address | IPv6Address) -> Statement:
    version = address.version
    return Statement(
        f"{'ip' if version == 4 else 'ip6'} daddr {address}",
        family(version).expressions
        + _payload(NETWORK_HEADER, *DESTINATION[version])
        + _compare(address.packed),
    )


def destination_loopback(version: int) -> Statement:
    if version == 6:
        return destination(IPv6Address("::1"))
    return Statement(
        "ip daddr 127.0.0.0/8",
        family(4).expressions + _payload(NETWORK_HEADER, 16, 1) + _compare(b"\x7f"),
    )


def from_loopback() -> Statement:
    index = struct.pack("=I", LOOPBACK_IFINDEX)
    return Statement('iif "lo"', _meta(META_IIF) + _compare(index))


def not_to_loopback() -> Statement:
    index = struct.pack("=I", LOOPBACK_IFINDEX)
    return Statement('oif != "lo"', _meta(META_OIF) + _compare(index, CMP_NEQ))


def marked() -> Statement:
    """Any mark at all: for most packets this saves the look-up in a set."""
    return Statement("meta mark != 0x00000000", _meta(META_MARK) + _compare(bytes(4), CMP_NEQ))


def mark_is(value: int) -> Statement:
    return Statement(
        f"meta mark 0x{value:08x}", _meta(META_MARK) + _compare(struct.pack("=I", value))
    )


def mark_in(set_name: str) -> Statement:
    return Statement(f"meta mark @{set_name}", _meta(META_MARK) + _lookup(set_name))


def mark_vmap(map_name: str) -> Statement:
    return Statement(
        f"meta mark vmap @{map_name}", _meta(META_MARK) + _lookup(map_name, into_verdict=True)
    )


def set_mark(value: int) -> Statement:
    register = wire.expression("meta", be32(2, META_MARK), be32(3, REGISTER))
    return Statement(
        f"meta mark set 0x{value:08x}", _immediate(struct.pack("=I", value)) + register
    )


def _cgroup(level: int) -> bytes:
    return wire.expression("socket", be32(1, SOCKET_CGROUPV2), be32(2, REGISTER), be32(3, level))


def cgroup_vmap(level: int, map_name: str) -> Statement:
    return Statement(
        f"socket cgroupv2 level {level} vmap @{map_name}",
        _cgroup(level) + _lookup(map_name, into_verdict=True),
    )


def cgroup_in(level: int, set_name: str) -> Statement:
    return Statement(
        f"socket cgroupv2 level {level} @{set_name}", _cgroup(level) + _lookup(set_name)
    )


def tproxy(number: int) -> Statement:
    # NFTA_TPROXY_FAMILY 0: both, in an inet table
    expression = wire.expression("tproxy", be32(1, 0), be32(3, REGISTER))
    return Statement(f"tproxy to :{number}", _immediate(struct.pack(">H", number)) + expression)


def reject_reset() -> Statement:
    expression = wire.expression("reject", be32(1, REJECT_TCP_RESET), u8(2, 0))
    return Statement("reject with tcp reset", expression)


def reject() -> Statement:
    """ICMP port unreachable; `nft` prints its default kind without saying so."""
    return Statement(
        "reject", wire.expression("reject", be32(1, REJECT_ICMPX), u8(2, ICMPX_PORT_UNREACHABLE))
    )


def dnat(address: IPv4Address | IPv6Address, number: int) -> Statement:
    # Registers have 4 bytes where they are numbered from 8 on: NFT_REG32_00 + 4 is NFT_REG_2.
    version, second = address.version, 2
    expression = wire.expression(
        "nat", be32(1, NAT_DNAT), be32(2, NFPROTOS[version]), be32(3, REGISTER), be32(5, second)
    )
    where = f"ip to {address}" if version == 4 else f"ip6 to [{address}]"
    return Statement(
        f"dnat {where}:{number}",
        _immediate(address.packed) + _immediate(struct.pack(">H", number), second) + expression,
    )
