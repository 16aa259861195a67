"""Every key of the configuration file: the parser and the JSON Schema both follow these tables.

A key is a row here, named as the field of the model that it fills. docs/development.md tells how
to add one.
"""

from __future__ import annotations

from cgtproxy.config.containers import List, Named, OneOrMore
from cgtproxy.config.dns.hijack import hijack_to
from cgtproxy.config.dns.keys import DNS, DNS_HIJACK
from cgtproxy.config.model import (
    DEFAULT_RULE_PRIORITY,
    DEFAULT_WORKERS,
    DIRECT,
    DROP,
    Config,
    Decision,
    Fallback,
    MonitorKind,
    Rule,
    Selection,
    Server,
    Tproxy,
    Workers,
)
from cgtproxy.config.regex import Pattern
from cgtproxy.config.scalars import Boolean, Choice, Cidr, Integer, Regex, Text, UpstreamUrl
from cgtproxy.config.section import Key, Section, Table, data
from cgtproxy.config.value import Value

_U32 = 2**32 - 1
# rtnetlink(7): RT_TABLE_UNSPEC and the tables that the kernel fills by itself.
_RESERVED_TABLES = {253: "table default", 254: "table main", 255: "table local"}
# A rule after 32766 would come after table main, which has an answer for every packet.
_LAST_PRIORITY = 32765


class TproxyKeys(Section):
    """One of `tproxies`."""

    port = Key(
        Integer(1, 65535),
        "The port on which the TPROXY server listens, for TCP and UDP.",
        required=True,
    )
    mark = Key(
        Integer(1, _U32),
        "The firewall mark that sends a packet to this TPROXY; each TPROXY has its own.",
        required=True,
    )
    no_udp = Key(Boolean(), "UDP goes direct.", default=False)
    no_ipv6 = Key(Boolean(), "IPv6 goes direct.", default=False)
    dns_hijack = Key(
        DNS_HIJACK, "Send the DNS queries that this TPROXY would get to a DNS server instead."
    )
    upstreams = Key(
        OneOrMore(UpstreamUrl(), "an upstream URL, or a list of them"),
        "Where the built-in server sends this traffic. Without it another program is the server.",
        name="upstream",
    )
    select = Key(
        Choice[Selection]("first-available", "round-robin"),
        "How one of several upstreams is chosen.",
        default="first-available",
    )
    on_down = Key(
        Choice[Fallback]("drop", "direct"),
        "What to do when no upstream is available.",
        default="drop",
    )
    udp = Key(
        Choice[Fallback]("drop", "direct"),
        "What to do with UDP if no upstream carries it; HTTP and HTTPS do not.",
        default="drop",
    )
    health_check = Key(
        Integer(0, 86400),
        "Seconds between two health checks of an upstream; 0 for none.",
        default=10,
    )
    dns = Key(DNS, "The built-in DNS server of this TPROXY. An empty mapping has all defaults.")

    def build(self, name: str) -> Tproxy:
        """The model's TPROXY. Its own DNS server gets the queries, if `dns-hijack` is not given."""
        dns = self.dns.data.build() if self.dns else None
        hijack = hijack_to(dns.listen) if dns else None
        if self.dns_hijack:
            hijack = self.dns_hijack.data.build()
        server = self.fill(Server, dns=dns) if self.upstreams else None
        return self.fill(Tproxy, name=name, dns_hijack=hijack, server=server)


class RuleKeys(Section):
    """One of `rules`."""

    match = Key(
        Regex(),
        "Regular expression (RE2), searched anywhere in the cgroup's path below the root.",
        required=True,
    )
    tproxy = Key(Text("the name of one of tproxies"), "Redirect to the TPROXY of this name.")
    direct = Key(Boolean(), "Let the traffic go direct.", default=False)
    drop = Key(Boolean(), "Drop the traffic.", default=False)

    def build(self) -> Rule:
        """The model's rule."""
        if self.tproxy and self.tproxy.data:
            decision = Decision("tproxy", self.tproxy.data)
        else:
            decision = DROP if data(self.drop) else DIRECT
        return Rule(data(self.match).text, decision, self.position.line)


class WorkersKeys(Section):
    """`workers`."""

    mark = Key(
        Integer(1, _U32),
        "The firewall mark of the server's own sockets, which are never redirected.",
        default=DEFAULT_WORKERS.mark,
    )
    processes = Key(
        Integer(0, 1024),
        "The number of worker processes; 0 for one per CPU core.",
        name="count",
        default=DEFAULT_WORKERS.processes,
    )
    connect_timeout = Key(
        Integer(1, 3600),
        "Seconds until an upstream or destination must have answered.",
        default=DEFAULT_WORKERS.connect_timeout,
    )
    idle_timeout = Key(
        Integer(1, 10**6),
        "Seconds after which a TCP connection without traffic is reset.",
        default=DEFAULT_WORKERS.idle_timeout,
    )
    udp_timeout = Key(
        Integer(1, 10**6),
        "Seconds after which a UDP session without traffic ends.",
        default=DEFAULT_WORKERS.udp_timeout,
    )
    connections = Key(
        Integer(1, 10**6),
        "The maximum of TCP connections, and of UDP sessions, of each process.",
        default=DEFAULT_WORKERS.connections,
    )
    pipes = Key(
        Integer(0, 10**5),
        "The maximum of pipes (up to 1 MiB of memory each) of each process, for bulk transfers.",
        default=DEFAULT_WORKERS.pipes,
    )

    def build(self) -> Workers:
        """The model's workers."""
        return self.fill(Workers)


class FileKeys(Section):
    """The whole file."""

    version = Key(Integer(1, 1), "The version of this file's format.", required=True)
    cgroup_root = Key(
        Text("AUTO or an absolute path", pattern=r"AUTO|/[^\x00-\x1f\x7f]*"),
        "Where cgroup v2 is mounted. AUTO asks the mount table.",
        required=True,
    )
    route_table = Key(
        Integer(1, _U32, _RESERVED_TABLES),
        "The number of a policy-routing table that nothing else uses.",
        required=True,
    )
    rule_priority = Key(
        Integer(1, _LAST_PRIORITY),
        "The priority of the policy-routing rules, as `ip rule` shows it.",
        default=DEFAULT_RULE_PRIORITY,
    )
    monitor = Key(
        Choice[MonitorKind]("inotify", "dbus", "both"),
        "How cgroups are found: by inotify, by asking systemd for its units (dbus), or by both.",
        default="inotify",
    )
    bypass = Key(
        List(Cidr(), "a list of addresses and CIDRs"),
        "Traffic to these addresses and networks is never touched.",
    )
    tproxies = Key(
        Named(
            Text(
                "1 to 100 characters, none of them a control character",
                pattern=r"[^\x00-\x1f\x7f]{1,100}",
            ),
            Table(TproxyKeys),
            "a mapping from names to TPROXYs",
        ),
        "The TPROXY servers, by names that rules refer to.",
    )
    rules = Key(
        List(Table(RuleKeys, one_of=("tproxy", "direct", "drop")), "a list of rules"),
        "The first rule that matches decides; a cgroup that none matches follows its parent.",
    )
    workers = Key(
        Table(WorkersKeys),
        "The processes of the built-in server, which serves TPROXYs with an upstream.",
    )

    @property
    def all_tproxies(self) -> dict[str, TproxyKeys]:
        """The TPROXYs by their names, also if there is none."""
        return self.tproxies.data if self.tproxies else {}

    @property
    def all_rules(self) -> tuple[RuleKeys, ...]:
        """The rules, also if there is none."""
        return self.rules.data if self.rules else ()

    @property
    def patterns(self) -> list[Value[Pattern]]:
        """The patterns of the rules, in order."""
        return [rule.match for rule in self.all_rules if rule.match]

    def build(self) -> Config:
        """The configuration, of a file without faults."""
        root = data(self.cgroup_root).rstrip("/") or "/"
        return self.fill(
            Config,
            cgroup_root=None if root == "AUTO" else root,
            tproxies=tuple(keys.build(name) for name, keys in self.all_tproxies.items()),
            rules=tuple([rule.build() for rule in self.all_rules]),
            workers=self.workers.data.build() if self.workers else None,
        )


FILE = Table(FileKeys)
