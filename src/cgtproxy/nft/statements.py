"""The few nft statements we use, each as text and as the kernel's expressions.

Text and expressions stand side by side, so that what `cgtproxy rules` prints is what is installed;
a test loads the text with nft(8) and compares what the kernel then has.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from cgtproxy.nft import expressions as nf
from cgtproxy.nft import wire

Protocol = Literal["tcp", "udp", "icmp", "ipv6-icmp"]
PROTOCOLS: dict[str, int] = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58}
NFPROTOS = {4: 2, 6: 10}

CT_DIRECTION_ORIGINAL, CT_DIRECTION_REPLY = 0, 1
CT_STATE_NEW, IPS_DST_NAT = 0x8, 0x20
CT_STATES = {"invalid": 0x1, "untracked": 0x40}
DESTINATION = {4: (16, 4), 6: (24, 16)}  # offset and length in the network header
DESTINATION_PORT = (2, 2)  # alike in TCP and UDP
LOOPBACK = struct.pack("=I", 1)  # its index: the same everywhere (include/net/net_namespace.h)
RTN_LOCAL = 2


class Statement(NamedTuple):
    text: str
    expressions: bytes


def verdict(code: str, chain: str = "") -> Statement:
    return Statement(f"{code} {chain}".strip(), nf.verdict(code, chain))


ACCEPT, DROP, RETURN = verdict("accept"), verdict("drop"), verdict("return")
NOTRACK = Statement("notrack", wire.expression("notrack"))


def ct_reply() -> Statement:
    expressions = nf.ct(nf.CT_DIRECTION) + nf.compare(bytes((CT_DIRECTION_REPLY,)))
    return Statement("ct direction reply", expressions)


def ct_not_new() -> Statement:
    expressions = nf.ct(nf.CT_STATE) + nf.compare(struct.pack("=I", CT_STATE_NEW), nf.CMP_NEQ)
    return Statement("ct state != new", expressions)


def ct_state(name: Literal["invalid", "untracked"]) -> Statement:
    """invalid: conntrack cannot tell of what it is a part; untracked: nor was it asked."""
    found = nf.mask(struct.pack("=I", CT_STATES[name])) + nf.compare(bytes(4), nf.CMP_NEQ)
    return Statement(f"ct state {name}", nf.ct(nf.CT_STATE) + found)


def ct_dnat() -> Statement:
    translated = nf.mask(struct.pack("=I", IPS_DST_NAT)) + nf.compare(bytes(4), nf.CMP_NEQ)
    return Statement("ct status dnat", nf.ct(nf.CT_STATUS) + translated)


def ct_mark_in(set_name: str) -> Statement:
    """The mark of the connection that a packet belongs to, not its own."""
    return Statement(f"ct mark @{set_name}", nf.ct(nf.CT_MARK) + nf.lookup(set_name))


def ct_marked() -> Statement:
    """Any mark at all: cheaper than the look-up in a set."""
    return Statement("ct mark != 0x00000000", nf.ct(nf.CT_MARK) + nf.compare(bytes(4), nf.CMP_NEQ))


def set_ct_mark(value: int) -> Statement:
    expressions = nf.immediate(struct.pack("=I", value)) + nf.set_ct(nf.CT_MARK)
    return Statement(f"ct mark set 0x{value:08x}", expressions)


def set_ct_original_zone(number: int) -> Statement:
    """Answers stay in zone 0."""
    zone = nf.set_ct(nf.CT_ZONE, CT_DIRECTION_ORIGINAL)
    expressions = nf.immediate(struct.pack("=H", number)) + zone
    return Statement(f"ct original zone set {number}", expressions)


def family(version: int) -> Statement:
    expressions = nf.meta(nf.META_NFPROTO) + nf.compare(bytes((NFPROTOS[version],)))
    return Statement(f"meta nfproto ipv{version}", expressions)


def protocol(name: Protocol) -> Statement:
    expressions = nf.meta(nf.META_L4PROTO) + nf.compare(bytes((PROTOCOLS[name],)))
    return Statement(f"meta l4proto {name}", expressions)


def protocol_not_in(set_name: str) -> Statement:
    return Statement(
        f"meta l4proto != @{set_name}",
        nf.meta(nf.META_L4PROTO) + nf.lookup(set_name, inverted=True),
    )


def port(number: int) -> Statement:
    """The destination port, be it TCP's or UDP's."""
    return Statement(
        f"th dport {number}",
        nf.payload(nf.TRANSPORT_HEADER, *DESTINATION_PORT) + nf.compare(struct.pack(">H", number)),
    )


def error_about_port(version: int, number: int) -> Statement:
    """An ICMP error about a datagram from this port: after 8 bytes it has that one's headers."""
    name: Protocol = "icmp" if version == 4 else "ipv6-icmp"
    offset = 8 + (20 if version == 4 else 40)
    inner = nf.payload(nf.TRANSPORT_HEADER, offset, 2) + nf.compare(struct.pack(">H", number))
    text = f"meta l4proto {name} @th,{offset * 8},16 {number}"
    return Statement(text, protocol(name).expressions + inner)


def protocol_port(name: Protocol, number: int) -> Statement:
    return Statement(
        f"{name} dport {number}", protocol(name).expressions + port(number).expressions
    )


def destination_in(version: int, set_name: str) -> Statement:
    return Statement(
        f"{'ip' if version == 4 else 'ip6'} daddr @{set_name}",
        family(version).expressions
        + nf.payload(nf.NETWORK_HEADER, *DESTINATION[version])
        + nf.lookup(set_name),
    )


def destination(address: IPv4Address | IPv6Address) -> Statement:
    version = address.version
    return Statement(
        f"{'ip' if version == 4 else 'ip6'} daddr {address}",
        family(version).expressions
        + nf.payload(nf.NETWORK_HEADER, *DESTINATION[version])
        + nf.compare(address.packed),
    )


def destination_loopback(version: int) -> Statement:
    if version == 6:
        return destination(IPv6Address("::1"))
    return Statement(
        "ip daddr 127.0.0.0/8",
        family(4).expressions + nf.payload(nf.NETWORK_HEADER, 16, 1) + nf.compare(b"\x7f"),
    )


def from_loopback() -> Statement:
    return Statement('iif "lo"', nf.meta(nf.META_IIF) + nf.compare(LOOPBACK))


def to_loopback() -> Statement:
    return Statement('oif "lo"', nf.meta(nf.META_OIF) + nf.compare(LOOPBACK))


def from_elsewhere() -> Statement:
    """The source is no address of this host."""
    local = struct.pack("=I", RTN_LOCAL)
    return Statement("fib saddr type != local", nf.source_type() + nf.compare(local, nf.CMP_NEQ))


def not_to_loopback() -> Statement:
    return Statement('oif != "lo"', nf.meta(nf.META_OIF) + nf.compare(LOOPBACK, nf.CMP_NEQ))


def marked() -> Statement:
    """Any mark at all: for most packets this saves the look-up in a set."""
    return Statement(
        "meta mark != 0x00000000", nf.meta(nf.META_MARK) + nf.compare(bytes(4), nf.CMP_NEQ)
    )


def mark_is(value: int) -> Statement:
    return Statement(
        f"meta mark 0x{value:08x}", nf.meta(nf.META_MARK) + nf.compare(struct.pack("=I", value))
    )


def mark_in(set_name: str) -> Statement:
    return Statement(f"meta mark @{set_name}", nf.meta(nf.META_MARK) + nf.lookup(set_name))


def mark_vmap(map_name: str) -> Statement:
    return Statement(
        f"meta mark vmap @{map_name}",
        nf.meta(nf.META_MARK) + nf.lookup(map_name, into_verdict=True),
    )


def set_mark(value: int) -> Statement:
    expressions = nf.immediate(struct.pack("=I", value)) + nf.set_meta(nf.META_MARK)
    return Statement(f"meta mark set 0x{value:08x}", expressions)


def set_mark_of_ct() -> Statement:
    return Statement("meta mark set ct mark", nf.ct(nf.CT_MARK) + nf.set_meta(nf.META_MARK))


def from_open_socket() -> Statement:
    """Nobody has this user id; packets of no socket that is still open have none at all."""
    nobody = struct.pack("=I", 0xFFFFFFFF)
    return Statement(
        f"meta skuid != {0xFFFFFFFF}", nf.meta(nf.META_SKUID) + nf.compare(nobody, nf.CMP_NEQ)
    )


def cgroup_vmap(level: int, map_name: str) -> Statement:
    return Statement(
        f"socket cgroupv2 level {level} vmap @{map_name}",
        nf.cgroup(level) + nf.lookup(map_name, into_verdict=True),
    )


def cgroup_in(level: int, set_name: str) -> Statement:
    return Statement(
        f"socket cgroupv2 level {level} @{set_name}", nf.cgroup(level) + nf.lookup(set_name)
    )


def tproxy(number: int) -> Statement:
    return Statement(
        f"tproxy to :{number}", nf.immediate(struct.pack(">H", number)) + nf.tproxy_to_port()
    )


def reject_reset() -> Statement:
    return Statement("reject with tcp reset", nf.reject(nf.REJECT_TCP_RESET, 0))


def reject() -> Statement:
    """ICMP port unreachable, which `nft` prints as its default, without a name."""
    return Statement("reject", nf.reject(nf.REJECT_ICMPX, nf.ICMPX_PORT_UNREACHABLE))


def dnat(address: IPv4Address | IPv6Address, number: int) -> Statement:
    version = address.version
    where = f"ip to {address}" if version == 4 else f"ip6 to [{address}]"
    return Statement(
        f"dnat {where}:{number}",
        nf.immediate(address.packed)
        + nf.immediate(struct.pack(">H", number), nf.SECOND_REGISTER)
        + nf.dnat(NFPROTOS[version]),
    )
