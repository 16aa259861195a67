"""Every key of the configuration file: the parser and the JSON Schema both follow this table."""

from __future__ import annotations

from cgtproxy.config.dns.keys import DNS, DNS_HIJACK
from cgtproxy.config.model import DEFAULT_RULE_PRIORITY, DEFAULT_WORKERS
from cgtproxy.config.scalars import Block, Choice, Flag, Regex, Text, Url, Whole
from cgtproxy.config.tables import Key, List, Named, OneOrMore, Table

_U32 = 2**32 - 1
# rtnetlink(7): RT_TABLE_UNSPEC and the tables that the kernel fills by itself.
_RESERVED_TABLES = {253: "table default", 254: "table main", 255: "table local"}
# A rule after 32766 would come after table main, which has an answer for every packet.
_LAST_PRIORITY = 32765

_TPROXY = Table(
    {
        "port": Key(
            Whole(1, 65535),
            "The port on which the TPROXY server listens, for TCP and UDP.",
            required=True,
        ),
        "mark": Key(
            Whole(1, _U32),
            "The firewall mark that sends a packet to this TPROXY; each TPROXY has its own.",
            required=True,
        ),
        "no-udp": Key(Flag(), "UDP goes direct.", default=False),
        "no-ipv6": Key(Flag(), "IPv6 goes direct.", default=False),
        "dns-hijack": Key(
            DNS_HIJACK, "Send the DNS queries that this TPROXY would get to a DNS server instead."
        ),
        "upstream": Key(
            OneOrMore(Url(), "an upstream URL, or a list of them"),
            "Where the built-in server sends this traffic. Left out: the server is another one's.",
        ),
        "select": Key(
            Choice(("first-available", "round-robin")),
            "Which of several upstreams is taken.",
            default="first-available",
        ),
        "on-down": Key(
            Choice(("drop", "direct")), "What to do when no upstream is available.", default="drop"
        ),
        "udp": Key(
            Choice(("drop", "direct")), "UDP where the upstream (HTTP) has none.", default="drop"
        ),
        "health-check": Key(
            Whole(0, 86400), "Seconds between two checks of an upstream; 0 for none.", default=10
        ),
        "dns": Key(
            DNS, "The built-in DNS server of this TPROXY. An empty mapping has all defaults."
        ),
    }
)

_RULE = Table(
    {
        "match": Key(
            Regex(),
            "Regular expression (RE2), searched anywhere in the cgroup's path below the root.",
            required=True,
        ),
        "tproxy": Key(Text("the name of one of tproxies"), "Redirect to the TPROXY of this name."),
        "direct": Key(Flag(), "Leave the traffic alone.", default=False),
        "drop": Key(Flag(), "Drop the traffic.", default=False),
    },
    one_of=("tproxy", "direct", "drop"),
)

_WORKERS = Table(
    {
        "mark": Key(
            Whole(1, _U32),
            "The firewall mark of the server's own sockets, which are never redirected.",
            default=DEFAULT_WORKERS.mark,
        ),
        "count": Key(
            Whole(0, 1024), "The number of processes; 0 for one for each core.", default=0
        ),
        "connect-timeout": Key(
            Whole(1, 3600),
            "Seconds until an upstream or destination must have answered.",
            default=DEFAULT_WORKERS.connect_timeout,
        ),
        "idle-timeout": Key(
            Whole(1, 10**6),
            "Seconds after which a TCP connection without traffic is reset.",
            default=DEFAULT_WORKERS.idle_timeout,
        ),
        "udp-timeout": Key(
            Whole(1, 10**6),
            "Seconds after which a UDP session without traffic ends.",
            default=DEFAULT_WORKERS.udp_timeout,
        ),
        "connections": Key(
            Whole(1, 10**6),
            "The most TCP connections, and the most UDP sessions, of one process.",
            default=DEFAULT_WORKERS.connections,
        ),
        "pipes": Key(
            Whole(0, 10**5),
            "The most pipes (up to 1 MiB of memory each) of one process, for bulk transfers.",
            default=DEFAULT_WORKERS.pipes,
        ),
    }
)

FILE = Table(
    {
        "version": Key(Whole(1, 1), "The version of this file's format.", required=True),
        "cgroup-root": Key(
            Text("AUTO or an absolute path", pattern=r"AUTO|/[^\x00-\x1f\x7f]*"),
            "Where cgroup v2 is mounted. AUTO asks the mount table.",
            required=True,
        ),
        "route-table": Key(
            Whole(1, _U32, _RESERVED_TABLES),
            "The number of a policy-routing table that nothing else uses.",
            required=True,
        ),
        "rule-priority": Key(
            Whole(1, _LAST_PRIORITY),
            "The priority of the policy-routing rules, as `ip rule` shows it.",
            default=DEFAULT_RULE_PRIORITY,
        ),
        "monitor": Key(
            Choice(("inotify", "dbus", "both")),
            "How cgroups are noticed: in the file system, as systemd's units, or in both ways.",
            default="inotify",
        ),
        "bypass": Key(
            List(Block(), "a list of addresses and CIDRs"),
            "Traffic to these addresses and networks is never touched.",
        ),
        "tproxies": Key(
            Named(
                Text(
                    "1 to 100 characters, none of them a control character",
                    pattern=r"[^\x00-\x1f\x7f]{1,100}",
                ),
                _TPROXY,
                "a mapping from names to TPROXYs",
            ),
            "The TPROXY servers, by names that rules refer to.",
        ),
        "rules": Key(
            List(_RULE, "a list of rules"),
            "The first rule that matches decides; a cgroup that none matches follows its parent.",
        ),
        "workers": Key(
            _WORKERS, "The processes of the built-in server, which serves TPROXYs with an upstream."
        ),
    }
)
