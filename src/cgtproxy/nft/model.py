"""A table of nftables: chains, and sets and maps whose elements do not change."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from cgtproxy.config.model import Network
from cgtproxy.nft.statements import PROTOCOLS, Statement

TABLE = "cgtproxy"

Rule = tuple[Statement, ...]
Key = Literal["mark", "inet_proto", "ipv4_addr", "ipv6_addr", "cgroupsv2"]
Verdict = tuple[str, str]  # code, chain ("" unless goto)

PRIORITY_RAW = -300  # before conntrack looks a packet up
PRIORITY_MANGLE = -150
# After every reverse-path filter (firewalld's: 10): since Linux 6.15 the fib expression does not
# excuse a packet from lo any more once TPROXY has given it a socket (nft_fib_can_skip).
PRIORITY_TPROXY = 100
# Before everybody else's destination NAT (-100), which would else decide a query's destination.
PRIORITY_BEFORE_DSTNAT = -110


class Hook(NamedTuple):
    """Where a base chain hangs; its policy is always accept."""

    kind: Literal["filter", "route", "nat"]
    name: Literal["prerouting", "output", "postrouting"]
    priority: int


class Chain(NamedTuple):
    """Rules in their order. With `hook` it is a base chain, else others lead to it."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


class Element(NamedTuple):
    """`key` as the kernel has it; `text` as nft prints it; `end` closes an interval."""

    key: bytes
    text: str
    verdict: Verdict | None = None
    end: bool = False


class Set(NamedTuple):
    """A set, or with `is_map` a verdict map. Without `constant` its elements come and go."""

    name: str
    key: Key
    elements: tuple[Element, ...] = ()
    is_map: bool = False
    constant: bool = True
    interval: bool = False


class Table(NamedTuple):
    """Everything of the table but the cgroups themselves."""

    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]

    def chain(self, name: str) -> Chain:
        """The chain of this name, which must be there."""
        return next(chain for chain in self.chains if chain.name == name)


def mark(value: int, verdict: Verdict | None = None) -> Element:
    """A fwmark; `verdict` is for a map."""
    return Element(struct.pack("=I", value), f"0x{value:08x}", verdict)


def protocol(name: str) -> Element:
    """A transport protocol."""
    return Element(bytes((PROTOCOLS[name],)), name)


def interval(network: Network) -> tuple[Element, ...]:
    """A network as the kernel's interval sets want it: where it begins, where the next thing does.

    The one that reaches the last address has no end.
    """
    begin = Element(network.network_address.packed, str(network))
    last = int(network.broadcast_address) + 1
    if last >> network.max_prefixlen:
        return (begin,)
    return begin, Element(last.to_bytes(network.max_prefixlen // 8, "big"), "", end=True)
