"""The configuration as the rest of the program sees it: valid, complete, immutable."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, NamedTuple, TypeAlias

from cgtproxy.config.schemes import Scheme

DEFAULT_RULE_PRIORITY = 1000
MonitorKind: TypeAlias = Literal["inotify", "dbus", "both"]
Selection: TypeAlias = Literal["first-available", "round-robin"]
Fallback: TypeAlias = Literal["drop", "direct"]
DnsMode: TypeAlias = Literal["fake-ip", "forward"]
DnsPath: TypeAlias = Literal["upstream", "direct"]
Network: TypeAlias = IPv4Network | IPv6Network


class Decision(NamedTuple):
    """Where traffic goes. `tproxy` is the TPROXY's name when `kind` is "tproxy"."""

    kind: Literal["direct", "drop", "tproxy"]
    tproxy: str = ""

    def __str__(self) -> str:
        return f"tproxy {self.tproxy}" if self.tproxy else self.kind


DIRECT = Decision("direct")
DROP = Decision("drop")
_LOOPBACK = IPv4Address("127.0.0.1")


class DnsHijack(NamedTuple):
    """Send queries to port 53 to this server instead of the TPROXY.

    A family without a server leaves its queries to the TPROXY itself. `loopback`: queries to a stub
    resolver on loopback (127.0.0.53) are hijacked too, although loopback is bypassed.
    """

    ip: IPv4Address | None = _LOOPBACK
    ip6: IPv6Address | None = None
    port: int = 53
    tcp: bool = False
    loopback: bool = True


class Upstream(NamedTuple):
    """Where the built-in server sends traffic. Only a remote scheme has a host.

    The password may be kept elsewhere: in a file, or in a systemd credential of that name.
    """

    scheme: Scheme
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    password_file: str = ""
    password_credential: str = ""
    ca_file: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}" if host else f"{self.scheme}://"

    def __repr__(self) -> str:
        return f"<{self}>"  # without the password


class DnsUpstream(NamedTuple):
    """A DNS server that is asked: "system" stands for those of the computer, and has no host."""

    scheme: Literal["system", "udp", "tcp", "tls", "https"]
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}" if host else f"{self.scheme}://"


SYSTEM = DnsUpstream("system")


class FakePool(NamedTuple):
    """The addresses that stand for names: the nth of each network stands for the same name."""

    network: IPv4Network = IPv4Network("198.18.0.0/15")
    network6: IPv6Network = IPv6Network("fc00::/18")


class ListenAddress(NamedTuple):
    """Where a server listens."""

    ip: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


class Dns(NamedTuple):
    """The DNS server of one TPROXY. `pool` None: no fake-ip, all queries are forwarded.

    Queries that no fake-ip address answers go to `upstreams`, `through` the TPROXY's upstream or
    directly; those for names that match a shell pattern of `exclude` to `exclude_upstreams`,
    directly.
    """

    listen: tuple[ListenAddress, ...]
    upstreams: tuple[DnsUpstream, ...] = (SYSTEM,)
    through: DnsPath = "upstream"
    exclude: tuple[str, ...] = ()
    exclude_upstreams: tuple[DnsUpstream, ...] = (SYSTEM,)
    pool: FakePool | None = None
    ttl: int = 1


class Server(NamedTuple):
    """How the built-in server serves one TPROXY. Times are in seconds.

    `udp` is what becomes of UDP where no upstream carries any (HTTP).
    """

    upstreams: tuple[Upstream, ...]
    select: Selection = "first-available"
    on_down: Fallback = "drop"
    udp: Fallback = "drop"
    health_check: int = 10
    dns: Dns | None = None


class Workers(NamedTuple):
    """The processes of the built-in server. `processes` 0: one for each core. Times in seconds."""

    mark: int = 0x2C9
    processes: int = 0
    connect_timeout: int = 10
    idle_timeout: int = 7440  # RFC 5382, REQ-5: not less than 2 hours and 4 minutes
    udp_timeout: int = 300  # RFC 4787, REQ-5
    connections: int = 20000
    pipes: int = 256


DEFAULT_WORKERS = Workers()


class Tproxy(NamedTuple):
    """A TPROXY server: the port it listens on, and the mark that sends packets to it.

    `server` None: another program is the server. `no_udp` and `no_ipv6` go direct.
    """

    name: str
    port: int
    mark: int
    no_udp: bool = False
    no_ipv6: bool = False
    dns_hijack: DnsHijack | None = None
    server: Server | None = None


class Rule(NamedTuple):
    """`match` is an RE2 pattern, searched in a cgroup's path; `line` is where the file has it."""

    match: str
    decision: Decision
    line: int = 0


class Config(NamedTuple):
    """`cgroup_root` None means: ask the mount table (`AUTO` in the file)."""

    cgroup_root: str | None
    route_table: int
    rule_priority: int = DEFAULT_RULE_PRIORITY
    monitor: MonitorKind = "inotify"
    bypass: tuple[Network, ...] = ()
    tproxies: tuple[Tproxy, ...] = ()
    rules: tuple[Rule, ...] = ()
    workers: Workers | None = None

    @property
    def served(self) -> bool:
        """Whether the built-in server has anything to do."""
        return any(tproxy.server for tproxy in self.tproxies)

    @property
    def remote_upstreams(self) -> tuple[Upstream, ...]:
        """The different upstreams that are servers."""
        servers = [tproxy.server for tproxy in self.tproxies if tproxy.server]
        upstreams = [upstream for server in servers for upstream in server.upstreams]
        return tuple(dict.fromkeys(u for u in upstreams if u.scheme.remote))

    @property
    def dns_servers(self) -> dict[str, Dns]:
        """The DNS servers, by the name of their TPROXY."""
        return {t.name: t.server.dns for t in self.tproxies if t.server and t.server.dns}

    @property
    def pools(self) -> tuple[FakePool, ...]:
        """The different pools of the DNS servers; they do not overlap."""
        served = [tproxy.server for tproxy in self.tproxies if tproxy.server]
        pools = [server.dns.pool for server in served if server.dns and server.dns.pool]
        return tuple(dict.fromkeys(pools))

    @property
    def limits(self) -> Workers:
        """`workers`, or its defaults."""
        return self.workers or DEFAULT_WORKERS

    @property
    def own_mark(self) -> int | None:
        """The mark of the built-in server's sockets, where there is one: ours or, with `workers`
        in the file, one that was started by hand."""
        return self.limits.mark if self.served or self.workers else None
