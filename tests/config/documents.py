"""Random configurations, as plain documents and as the model that they mean."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

from hypothesis import strategies as st

from cgtproxy.config.model import DIRECT, DROP, Config, DnsHijack, Rule, Target, Tproxy

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
OPTIONS = some({"no-udp": st.booleans(), "no-ipv6": st.booleans(), "dns-hijack": HIJACKS})


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], Config]:
    root, wanted_root = draw(ROOTS)
    tables = st.integers(1, U32).filter(lambda table: table not in (253, 254, 255))
    document = {"version": 1, "cgroup-root": root, "route-table": draw(tables)}
    document |= draw(some({"rule-priority": st.integers(1, 32765), "monitor": MONITORS}))
    bypass = draw(st.lists(NETWORKS, max_size=5))
    marks = draw(st.lists(st.integers(1, U32), unique=True, max_size=4))
    names = draw(st.lists(NAMES, unique=True, min_size=len(marks), max_size=len(marks)))
    ports = st.integers(1, 65535)
    tproxies = {
        name: {"port": draw(ports), "mark": mark} | draw(OPTIONS)
        for name, mark in zip(names, marks, strict=True)
    }
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


@st.composite
def _rule(draw: st.DrawFn, names: list[str]) -> tuple[dict[str, Any], Rule]:
    choices = [DIRECT, DROP, *(Target("tproxy", name) for name in names)]
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
    flags = bool(keys.get("no-udp")), bool(keys.get("no-ipv6"))
    return Tproxy(name, keys["port"], keys["mark"], *flags, hijack)
