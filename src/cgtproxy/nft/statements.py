"""The few nft statements we use, each as text and as the kernel's expressions.

Here is what rules do; what they ask is in `matches`. Text and expressions stand side by side, so
that what `cgtproxy rules` prints is what is installed; a test loads the text with nft(8) and
compares what the kernel then has.
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
CT_DIRECTION_ORIGINAL = 0


class Statement(NamedTuple):
    """A part of a rule: as nft prints it, and as netlink attributes."""

    text: str
    expressions: bytes


def verdict(code: str, chain: str = "") -> Statement:
    """What ends a rule; `chain` is for goto and jump."""
    return Statement(f"{code} {chain}".strip(), nf.verdict(code, chain))


ACCEPT, DROP, RETURN = verdict("accept"), verdict("drop"), verdict("return")
NOTRACK = Statement("notrack", wire.expression("notrack"))


def cgroup_vmap(level: int, map_name: str) -> Statement:
    """Do what a map tells of the ancestor at this level of the socket's cgroup."""
    return Statement(
        f"socket cgroupv2 level {level} vmap @{map_name}",
        nf.cgroup(level) + nf.lookup(map_name, into_verdict=True),
    )


def mark_vmap(map_name: str) -> Statement:
    """Do what a map tells of the packet's mark; what it does not have goes on."""
    return Statement(
        f"meta mark vmap @{map_name}",
        nf.meta(nf.META_MARK) + nf.lookup(map_name, into_verdict=True),
    )


def set_mark(value: int) -> Statement:
    """Mark the packet."""
    expressions = nf.immediate(struct.pack("=I", value)) + nf.set_meta(nf.META_MARK)
    return Statement(f"meta mark set 0x{value:08x}", expressions)


def set_mark_of_ct() -> Statement:
    """Give the packet the mark of its connection."""
    return Statement("meta mark set ct mark", nf.ct(nf.CT_MARK) + nf.set_meta(nf.META_MARK))


def set_ct_mark(value: int) -> Statement:
    """Mark the connection."""
    expressions = nf.immediate(struct.pack("=I", value)) + nf.set_ct(nf.CT_MARK)
    return Statement(f"ct mark set 0x{value:08x}", expressions)


def set_ct_original_zone(number: int) -> Statement:
    """Answers stay in zone 0."""
    zone = nf.set_ct(nf.CT_ZONE, CT_DIRECTION_ORIGINAL)
    expressions = nf.immediate(struct.pack("=H", number)) + zone
    return Statement(f"ct original zone set {number}", expressions)


def tproxy(number: int) -> Statement:
    """Give the packet to the socket that listens on this port, if there is one."""
    return Statement(
        f"tproxy to :{number}", nf.immediate(struct.pack(">H", number)) + nf.tproxy_to_port()
    )


def reject_reset() -> Statement:
    """Refuse a TCP packet."""
    return Statement("reject with tcp reset", nf.reject(nf.REJECT_TCP_RESET, 0))


def reject() -> Statement:
    """ICMP port unreachable, which `nft` prints as its default, without a name."""
    return Statement("reject", nf.reject(nf.REJECT_ICMPX, nf.ICMPX_PORT_UNREACHABLE))


def dnat(address: IPv4Address | IPv6Address, number: int) -> Statement:
    """Translate the connection's destination."""
    version = address.version
    where = f"ip to {address}" if version == 4 else f"ip6 to [{address}]"
    return Statement(
        f"dnat {where}:{number}",
        nf.immediate(address.packed)
        + nf.immediate(struct.pack(">H", number), nf.SECOND_REGISTER)
        + nf.dnat(NFPROTOS[version]),
    )
