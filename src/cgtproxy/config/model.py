"""The configuration as the rest of the program sees it: valid, complete, immutable."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, NamedTuple, TypeAlias

DEFAULT_RULE_PRIORITY = 1000
MonitorKind: TypeAlias = Literal["inotify", "dbus", "both"]
Network: TypeAlias = IPv4Network | IPv6Network


class Target(NamedTuple):
    """Where traffic goes. `tproxy` is the TPROXY's name when `kind` is "tproxy"."""

    kind: Literal["direct", "drop", "tproxy"]
    tproxy: str = ""

    def __str__(self) -> str:
        return f"tproxy {self.tproxy}" if self.tproxy else self.kind


DIRECT = Target("direct")
DROP = Target("drop")


@dataclass(frozen=True, slots=True)
class DnsHijack:
    """Send queries to port 53 to this server instead of the TPROXY.

    `ip6` None leaves IPv6 queries to the TPROXY itself. `loopback`: queries to a stub
    resolver on loopback (127.0.0.53) are hijacked too, although loopback is bypassed.
    """

    ip: IPv4Address
    ip6: IPv6Address | None
    port: int
    tcp: bool
    loopback: bool


@dataclass(frozen=True, slots=True)
class Tproxy:
    name: str
    port: int
    mark: int
    no_udp: bool = False
    no_ipv6: bool = False
    dns_hijack: DnsHijack | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """`match` is an RE2 pattern, searched in a cgroup's path; `line` is where the file has it."""

    match: str
    target: Target
    line: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """`cgroup_root` None means: ask the mount table (`AUTO` in the file)."""

    cgroup_root: str | None
    route_table: int
    rule_priority: int = DEFAULT_RULE_PRIORITY
    monitor: MonitorKind = "inotify"
    bypass: tuple[Network, ...] = ()
    tproxies: tuple[Tproxy, ...] = ()
    rules: tuple[Rule, ...] = ()
