"""The ip rules and routes that bring marked packets to the TPROXY servers, and their netlink form.

A packet with a TPROXY's mark is looked up in our table, whose only route makes every address
local: so it comes in again through lo, where the prerouting chain hands it over.
"""

from __future__ import annotations

import struct
import sys
from socket import AF_INET, AF_INET6
from typing import NamedTuple, TypeAlias

from cgtproxy.config.model import Config
from cgtproxy.runtime.netlink.wire import Message, parse_attributes, u8, u32

# Marks rules and routes as ours (linux/rtnetlink.h: numbers above 4 are the users').
PROTOCOL = 107

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FRA_FWMASK, FRA_PROTOCOL = 6, 10, 15, 16, 21
# What narrows a rule besides its header: interfaces, tunnel, VRF, user, protocol and ports, DSCP,
# flow label; and FRA_SUPPRESS_IFGROUP, which refuses routes that it finds.
FRA_SELECTORS = frozenset((3, 12, 13, 17, 19, 20, 22, 23, 24, 25, 26))
FRA_SUPPRESS_PREFIXLEN = 14  # always there
NO_SUPPRESSION = 0xFFFFFFFF
FR_ACT_TO_TBL = 1
RTA_OIF, RTA_TABLE = 4, 15
RTN_LOCAL = 2
RT_SCOPE_HOST = 254
RT_TABLE_UNSPEC = 0
LOOPBACK_IFINDEX = 1
EXACT_MARK = 0xFFFFFFFF

FAMILIES: dict[int, str] = {AF_INET: "IPv4", AF_INET6: "IPv6"}
_HEADER = struct.Struct("=BBBBBBBBI")  # struct rtmsg and struct fib_rule_hdr are laid out alike


class Families(NamedTuple):
    """`known` to the kernel: they can have rules. `on_loopback`: not off on lo, so routes too."""

    known: frozenset[int]
    on_loopback: frozenset[int]


class IpRule(NamedTuple):
    """`ip rule add fwmark MARK lookup TABLE priority PRIORITY`"""

    family: int
    priority: int
    mark: int
    table: int

    def __str__(self) -> str:
        family = FAMILIES[self.family]
        return f"{family} rule {self.priority}: fwmark 0x{self.mark:x} lookup {self.table}"


class Route(NamedTuple):
    """`ip route add local default dev lo table TABLE`"""

    family: int
    table: int

    def __str__(self) -> str:
        return f"{FAMILIES[self.family]} route local default dev lo table {self.table}"


Entry: TypeAlias = IpRule | Route


def wanted(config: Config, families: Families) -> set[Entry]:
    """What should be there, in both families."""
    if not config.tproxies:
        return set()
    table, priority = config.route_table, config.rule_priority
    entries: set[Entry] = {Route(family, table) for family in families.on_loopback}
    for family in families.known:
        entries |= {IpRule(family, priority, t.mark, table) for t in config.tproxies}
    return entries


def encode(entry: Entry) -> bytes:
    """The body of the message that adds or deletes it."""
    if isinstance(entry, Route):
        header = _HEADER.pack(
            entry.family, 0, 0, 0, RT_TABLE_UNSPEC, PROTOCOL, RT_SCOPE_HOST, RTN_LOCAL, 0
        )
        return header + u32(RTA_TABLE, entry.table) + u32(RTA_OIF, LOOPBACK_IFINDEX)
    header = _HEADER.pack(entry.family, 0, 0, 0, RT_TABLE_UNSPEC, 0, 0, FR_ACT_TO_TBL, 0)
    return (
        header
        + u32(FRA_PRIORITY, entry.priority)
        + u32(FRA_FWMARK, entry.mark)
        + u32(FRA_FWMASK, EXACT_MARK)
        + u32(FRA_TABLE, entry.table)
        + u8(FRA_PROTOCOL, PROTOCOL)
    )


def dump_request(family: int, kind: int) -> bytes:
    """Asks for all rules, or for the routes with our protocol: a router has a million others."""
    protocol = PROTOCOL if kind == RTM_GETROUTE else 0
    return _HEADER.pack(family, 0, 0, 0, RT_TABLE_UNSPEC, protocol, 0, 0, 0)


def is_default(route: Message) -> bool:
    """Whether it is for every destination."""
    return route.body[1:2] == b"\0"


def decode(message: Message) -> Entry | None:
    """The entry of ours that a message tells of, None for anybody else's."""
    if len(message.body) < _HEADER.size:
        return None
    attributes = dict(parse_attributes(message.body, _HEADER.size))
    if message.kind in (RTM_NEWROUTE, RTM_DELROUTE):
        return _decode_route(message.body, attributes)
    if message.kind in (RTM_NEWRULE, RTM_DELRULE):
        return _decode_rule(message.body, attributes)
    return None


def _decode_route(body: bytes, attributes: dict[int, bytes]) -> Route | None:
    family, to, source, tos, table, protocol, _, kind, _ = _HEADER.unpack_from(body)
    if (to, source, tos, protocol, kind) != (0, 0, 0, PROTOCOL, RTN_LOCAL):
        return None
    if _number(attributes, RTA_OIF) != LOOPBACK_IFINDEX:
        return None
    return Route(family, _number(attributes, RTA_TABLE, table))


def _decode_rule(body: bytes, attributes: dict[int, bytes]) -> IpRule | None:
    family, to, source, tos, table, _, _, action, flags = _HEADER.unpack_from(body)
    ours = attributes.get(FRA_PROTOCOL) == bytes((PROTOCOL,))
    # Anything that narrows or inverts it makes it another rule than the one we made.
    plain = (
        (to, source, tos, action, flags) == (0, 0, 0, FR_ACT_TO_TBL, 0)
        and attributes.keys().isdisjoint(FRA_SELECTORS)
        and _number(attributes, FRA_SUPPRESS_PREFIXLEN, NO_SUPPRESSION) == NO_SUPPRESSION
        and _number(attributes, FRA_FWMASK) == EXACT_MARK
    )
    if not (ours and plain):
        return None
    return IpRule(
        family,
        _number(attributes, FRA_PRIORITY),
        _number(attributes, FRA_FWMARK),
        _number(attributes, FRA_TABLE, table),
    )


def _number(attributes: dict[int, bytes], kind: int, default: int = 0) -> int:
    value = attributes.get(kind)
    return int.from_bytes(value, sys.byteorder) if value else default
