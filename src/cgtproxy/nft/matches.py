"""What a rule asks about a packet, each as text and as the kernel's expressions."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from cgtproxy.nft import expressions as nf
from cgtproxy.nft.statements import NFPROTOS, PROTOCOLS, Protocol, Statement

CT_DIRECTION_REPLY = 1
CT_STATE_NEW, IPS_DST_NAT = 0x8, 0x20
CT_STATES = {"invalid": 0x1, "untracked": 0x40}
DESTINATION = {4: (16, 4), 6: (24, 16)}  # offset and length in the network header
DESTINATION_PORT = (2, 2)  # alike in TCP and UDP
LOOPBACK = struct.pack("=I", 1)  # its index: the same everywhere (include/net/net_namespace.h)
RTN_LOCAL = 2


def ct_reply() -> Statement:
    """The packet goes from who was connected to, to who connected."""
    expressions = nf.ct(nf.CT_DIRECTION) + nf.compare(bytes((CT_DIRECTION_REPLY,)))
    return Statement("ct direction reply", expressions)


def ct_not_new() -> Statement:
    """The packet is not the first one of its connection."""
    expressions = nf.ct(nf.CT_STATE) + nf.compare(struct.pack("=I", CT_STATE_NEW), nf.CMP_NEQ)
    return Statement("ct state != new", expressions)


def ct_state(name: Literal["invalid", "untracked"]) -> Statement:
    """invalid: conntrack cannot tell of what it is a part; untracked: nor was it asked."""
    found = nf.mask(struct.pack("=I", CT_STATES[name])) + nf.compare(bytes(4), nf.CMP_NEQ)
    return Statement(f"ct state {name}", nf.ct(nf.CT_STATE) + found)


def ct_dnat() -> Statement:
    """The destination of the packet's connection has been translated."""
    translated = nf.mask(struct.pack("=I", IPS_DST_NAT)) + nf.compare(bytes(4), nf.CMP_NEQ)
    return Statement("ct status dnat", nf.ct(nf.CT_STATUS) + translated)


def ct_mark_in(set_name: str) -> Statement:
    """The mark of the connection that a packet belongs to, not its own."""
    return Statement(f"ct mark @{set_name}", nf.ct(nf.CT_MARK) + nf.lookup(set_name))


def ct_marked() -> Statement:
    """Any mark at all: cheaper than the look-up in a set."""
    return Statement("ct mark != 0x00000000", nf.ct(nf.CT_MARK) + nf.compare(bytes(4), nf.CMP_NEQ))


def family(version: int) -> Statement:
    """IPv4 or IPv6."""
    expressions = nf.meta(nf.META_NFPROTO) + nf.compare(bytes((NFPROTOS[version],)))
    return Statement(f"meta nfproto ipv{version}", expressions)


def protocol(name: Protocol) -> Statement:
    """One transport protocol, whichever family."""
    expressions = nf.meta(nf.META_L4PROTO) + nf.compare(bytes((PROTOCOLS[name],)))
    return Statement(f"meta l4proto {name}", expressions)


def protocol_not_in(set_name: str) -> Statement:
    """None of a set of transport protocols."""
    return Statement(
        f"meta l4proto != @{set_name}",
        nf.meta(nf.META_L4PROTO) + nf.lookup(set_name, inverted=True),
    )


def error_about_port(version: int, number: int) -> Statement:
    """An ICMP error about a datagram from this port: after 8 bytes it has that one's headers."""
    name: Protocol = "icmp" if version == 4 else "ipv6-icmp"
    offset = 8 + (20 if version == 4 else 40)
    inner = nf.payload(nf.TRANSPORT_HEADER, offset, 2) + nf.compare(struct.pack(">H", number))
    text = f"meta l4proto {name} @th,{offset * 8},16 {number}"
    return Statement(text, protocol(name).expressions + inner)


def protocol_port(name: Protocol, number: int) -> Statement:
    """One transport protocol (TCP or UDP) and its destination port."""
    port = nf.payload(nf.TRANSPORT_HEADER, *DESTINATION_PORT)
    return Statement(
        f"{name} dport {number}",
        protocol(name).expressions + port + nf.compare(struct.pack(">H", number)),
    )


def destination_in(version: int, set_name: str) -> Statement:
    """A destination in a set of networks of this family."""
    return Statement(
        f"{'ip' if version == 4 else 'ip6'} daddr @{set_name}",
        family(version).expressions
        + nf.payload(nf.NETWORK_HEADER, *DESTINATION[version])
        + nf.lookup(set_name),
    )


def destination(address: IPv4Address | IPv6Address) -> Statement:
    """One destination address."""
    version = address.version
    return Statement(
        f"{'ip' if version == 4 else 'ip6'} daddr {address}",
        family(version).expressions
        + nf.payload(nf.NETWORK_HEADER, *DESTINATION[version])
        + nf.compare(address.packed),
    )


def destination_loopback(version: int) -> Statement:
    """A destination on the loopback network of this family."""
    if version == 6:
        return destination(IPv6Address("::1"))
    return Statement(
        "ip daddr 127.0.0.0/8",
        family(4).expressions + nf.payload(nf.NETWORK_HEADER, 16, 1) + nf.compare(b"\x7f"),
    )


def from_loopback() -> Statement:
    """The packet came in through `lo`."""
    return Statement('iif "lo"', nf.meta(nf.META_IIF) + nf.compare(LOOPBACK))


def to_loopback() -> Statement:
    """The packet goes out through `lo`."""
    return Statement('oif "lo"', nf.meta(nf.META_OIF) + nf.compare(LOOPBACK))


def from_elsewhere() -> Statement:
    """The source is no address of this host."""
    local = struct.pack("=I", RTN_LOCAL)
    return Statement("fib saddr type != local", nf.source_type() + nf.compare(local, nf.CMP_NEQ))


def not_to_loopback() -> Statement:
    """The packet leaves for a network."""
    return Statement('oif != "lo"', nf.meta(nf.META_OIF) + nf.compare(LOOPBACK, nf.CMP_NEQ))


def marked() -> Statement:
    """Any mark at all: for most packets this saves the look-up in a set."""
    return Statement(
        "meta mark != 0x00000000", nf.meta(nf.META_MARK) + nf.compare(bytes(4), nf.CMP_NEQ)
    )


def mark_is(value: int) -> Statement:
    """The packet's own mark."""
    return Statement(
        f"meta mark 0x{value:08x}", nf.meta(nf.META_MARK) + nf.compare(struct.pack("=I", value))
    )


def mark_in(set_name: str) -> Statement:
    """The packet's own mark is in a set."""
    return Statement(f"meta mark @{set_name}", nf.meta(nf.META_MARK) + nf.lookup(set_name))


def from_open_socket() -> Statement:
    """Nobody has this user id; packets of no socket that is still open have none at all."""
    nobody = struct.pack("=I", 0xFFFFFFFF)
    return Statement(
        f"meta skuid != {0xFFFFFFFF}", nf.meta(nf.META_SKUID) + nf.compare(nobody, nf.CMP_NEQ)
    )


def cgroup_in(level: int, set_name: str) -> Statement:
    """The ancestor at this level of the socket's cgroup is in a set; not if it is not so deep."""
    return Statement(
        f"socket cgroupv2 level {level} @{set_name}", nf.cgroup(level) + nf.lookup(set_name)
    )
