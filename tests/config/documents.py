"""Random configurations, as plain documents and as the model that they mean."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from hypothesis import strategies as st

from cgtproxy.config import schemes
from cgtproxy.config.dns.keys import DEFAULT_EXCLUDE
from cgtproxy.config.model import (
    DEFAULT_WORKERS,
    DIRECT,
    DROP,
    SYSTEM,
    Config,
    Decision,
    Dns,
    DnsHijack,
    DnsUpstream,
    FakePool,
    ListenAddress,
    Rule,
    Server,
    Tproxy,
    Upstream,
)

U32 = 2**32 - 1
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=100)
PATTERNS = st.one_of(
    st.sampled_from(["", r"\/user\.slice\/.*", "^/a|b$", "[0-9]+", "on", "5", "~", "null", "#x"]),
    st.text("abc/.^$0~:#'\" -", max_size=20),
)
ROOTS = st.sampled_from([("AUTO", None), ("/", "/"), ("/sys/fs/cgroup/", "/sys/fs/cgroup")])
NETWORKS = st.one_of(
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda pair: "{}/{}".format(*pair)),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda pair: "{}/{}".format(*pair)),
)
PORTS = st.integers(1, 19999) | st.integers(30000, 65535)
MARKS = st.integers(1, U32).filter(lambda mark: mark != DEFAULT_WORKERS.mark)
MONITORS = st.sampled_from(["inotify", "dbus", "both"])


def some(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A document with any of the keys, or null for them."""
    return st.fixed_dictionaries({}, optional={k: v | st.none() for k, v in keys.items()})


HIJACKS = some(
    {
        "ip": st.ip_addresses(v=4).map(str),
        "ip6": st.ip_addresses(v=6).map(str),
        "port": st.integers(1, 65535),
        "tcp": st.booleans(),
        "loopback": st.booleans(),
    }
)
DNS_URLS = {
    "system://": SYSTEM,
    "udp://[2001:DB8::1]": DnsUpstream("udp", "2001:db8::1", 53),
    "https://dns.example:8443": DnsUpstream("https", "dns.example", 8443, "/dns-query"),
}
DNS_URL = st.sampled_from(list(DNS_URLS))
POOLS: list[dict[str, str]] = [
    {},
    {"pool": "10.1.2.3/8"},
    {"pool": "192.0.2.0/30", "pool6": "2001:db8::/126"},
]
OPTIONS = some({"no-udp": st.booleans(), "no-ipv6": st.booleans(), "dns-hijack": HIJACKS})


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], Config]:
    root, wanted_root = draw(ROOTS)
    tables = st.integers(1, U32).filter(lambda table: table not in (253, 254, 255))
    document: dict[str, Any] = {"version": 1, "cgroup-root": root, "route-table": draw(tables)}
    document |= draw(some({"rule-priority": st.integers(1, 32765), "monitor": MONITORS}))
    bypass = draw(st.lists(NETWORKS, max_size=5))
    marks = draw(st.lists(MARKS, unique=True, max_size=4))
    names = draw(st.lists(NAMES, unique=True, min_size=len(marks), max_size=len(marks)))
    size = len(marks)
    ports = draw(st.lists(PORTS, unique=True, min_size=size, max_size=size))
    tproxies = {
        name: {"port": port, "mark": mark} | draw(OPTIONS)
        for name, port, mark in zip(names, ports, marks, strict=True)
    }
    pools = draw(st.sampled_from(POOLS))
    for number, tproxy in enumerate(tproxies.values()):
        if draw(st.booleans()):
            tproxy["upstream"] = "drop://"
            dns = draw(st.none() | _dns(number))
            tproxy["dns"] = dns if dns is None else dns | pools
    rules = draw(st.lists(_rule(names), max_size=6))
    document |= {"bypass": bypass, "tproxies": tproxies, "rules": [rule for rule, _ in rules]}
    config = Config(
        cgroup_root=wanted_root,
        route_table=document["route-table"],
        rule_priority=document.get("rule-priority") or 1000,
        monitor=document.get("monitor") or "inotify",
        bypass=tuple(ip_network(entry, strict=False) for entry in bypass),
        tproxies=tuple(_tproxy(name, keys) for name, keys in tproxies.items()),
        rules=tuple(rule for _, rule in rules),
    )
    return document, config


def _dns(number: int) -> st.SearchStrategy[dict[str, Any]]:
    """Listeners differ from one TPROXY to the next."""
    port = 20000 + number
    listen = [
        f"127.0.0.1:{port}",
        [f"[::1]:{port}"],
        [f"[::]:{port}", f"0.0.0.0:{port}", f"127.0.0.2:{port + 100}"],
    ]
    keys = {
        "mode": st.sampled_from(["fake-ip", "forward"]),
        "upstream": DNS_URL | st.lists(DNS_URL, min_size=1, max_size=3),
        "through": st.sampled_from(["upstream", "direct"]),
        "exclude": st.lists(st.sampled_from(["*.LAN", "a.b.", "[!a-z]?"])),
        "exclude-upstream": DNS_URL,
        "ttl": st.integers(0, 86400),
    }
    given = st.fixed_dictionaries({"listen": st.sampled_from(listen)})
    return st.builds(lambda one, other: one | other, given, some(keys))


@st.composite
def _rule(draw: st.DrawFn, names: list[str]) -> tuple[dict[str, Any], Rule]:
    choices = [DIRECT, DROP, *(Decision("tproxy", name) for name in names)]
    target = draw(st.sampled_from(choices))
    false = draw(some({key: st.just(False) for key in ("direct", "drop")}))
    pattern = draw(PATTERNS)
    true = {target.kind: target.tproxy or True}
    return {"match": pattern} | false | true, Rule(pattern, target)


def _tproxy(name: str, keys: dict[str, Any]) -> Tproxy:
    hijack = None
    if (given := keys.get("dns-hijack")) is not None:
        hijack = DnsHijack(
            IPv4Address(given.get("ip") or "127.0.0.1"),
            IPv6Address(given["ip6"]) if given.get("ip6") else None,
            given.get("port") or 53,
            bool(given.get("tcp")),
            given.get("loopback") in (None, True),
        )
    elif keys.get("dns"):
        listen = several(keys["dns"]["listen"])
        port = int(listen[0].rpartition(":")[2])
        ip = IPv4Address("127.0.0.1") if any("." in one for one in listen) else None
        ip6 = IPv6Address("::1") if any("[" in one for one in listen) else None
        hijack = DnsHijack(ip, ip6, port, tcp=True, loopback=True)
    flags = bool(keys.get("no-udp")), bool(keys.get("no-ipv6"))
    drop = (Upstream(schemes.DROP),)
    server = Server(drop, dns=_server(keys.get("dns"))) if "upstream" in keys else None
    return Tproxy(name, keys["port"], keys["mark"], *flags, hijack, server)


def _server(keys: dict[str, Any] | None) -> Dns | None:
    if keys is None:
        return None
    listen = [one.rpartition(":") for one in several(keys["listen"])]
    exclude = keys.get("exclude")
    pool = FakePool(
        IPv4Network(keys.get("pool", "198.18.0.0/15"), strict=False),
        IPv6Network(keys.get("pool6", "fc00::/18")),
    )
    return Dns(
        tuple(ListenAddress(ip_address(host.strip("[]")), int(port)) for host, _, port in listen),
        tuple(DNS_URLS[url] for url in several(keys.get("upstream") or "system://")),
        keys.get("through") or "upstream",
        DEFAULT_EXCLUDE if exclude is None else tuple(e.lower().rstrip(".") for e in exclude),
        (DNS_URLS[keys.get("exclude-upstream") or "system://"],),
        None if keys.get("mode") == "forward" else pool,
        1 if keys.get("ttl") is None else keys["ttl"],
    )


def several(one_or_more: str | list[str]) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else one_or_more
