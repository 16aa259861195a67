"""Random configurations and cgroup trees whose decisions are given, not matched."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from hypothesis import strategies as st

from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.config import schemes
from cgtproxy.config.model import (
    DIRECT,
    DROP,
    Config,
    Decision,
    Dns,
    DnsHijack,
    FakePool,
    Server,
    Tproxy,
    Upstream,
)
from config.documents import documents


class Decided:
    """A policy that knows each cgroup's target by its path; others follow their parent."""

    def __init__(self, targets: Mapping[bytes, Decision]) -> None:
        self.targets = targets

    def decide(self, path: bytes, inherited: Decision) -> tuple[int | None, Decision]:
        return (0, self.targets[path]) if path in self.targets else (None, inherited)


def server_of(pool: FakePool | None) -> Server:
    """One with fake-ip addresses of this pool, if any."""
    return Server((Upstream(schemes.DROP),), dns=Dns((), pool=pool))


def configurations() -> st.SearchStrategy[Config]:
    return documents().map(lambda pair: pair[1])


HIJACKS = st.builds(
    DnsHijack,
    ip=st.sampled_from(["127.0.0.1", "127.0.0.53", "192.0.2.53"]).map(IPv4Address) | st.none(),
    ip6=st.sampled_from(["::1", "2001:db8::53"]).map(IPv6Address) | st.none(),
    port=st.sampled_from([53, 5300]),
    tcp=st.booleans(),
    loopback=st.booleans(),
)
POOLS = [
    None,
    FakePool(),
    FakePool(IPv4Network("203.0.113.0/29"), IPv6Network("2001:db8:1::/64")),
]
BYPASSES = [
    ["127.0.0.0/8", "::1/128"],
    ["127.0.0.0/8", "::1/128", "192.0.2.0/24", "2001:db8::/32"],
    ["127.0.0.1/32"],
    ["0.0.0.0/0"],
    ["203.0.113.0/24", "198.18.7.0/24", "2001:db8:1::1", "::/0"],
    [],
]


@st.composite
def crowded(draw: st.DrawFn) -> Config:
    """A configuration in which a few addresses, ports and options meet again and again."""
    tproxies = [
        draw(
            st.builds(
                Tproxy,
                name=st.just(f"t{number}"),
                port=st.just(10000 + number),
                mark=st.just(number),
                no_udp=st.booleans(),
                no_ipv6=st.booleans(),
                dns_hijack=st.none() | HIJACKS,
                server=st.none() | st.sampled_from(POOLS).map(server_of),
            )
        )
        for number in range(1, draw(st.integers(1, 4)))
    ]
    bypass = tuple(map(ip_network, draw(st.sampled_from(BYPASSES))))
    return Config(None, 300, bypass=bypass, tproxies=tuple(tproxies))


def complete_tree(config: Config) -> Tree:
    """Each target at level 1, below it one that follows it, and below that another target."""
    all_targets = targets(config)
    others = all_targets[1:] + all_targets[:1]
    decided = {b"/%d" % i: target for i, target in enumerate(all_targets)}
    decided |= {b"/%d/a/b" % i: target for i, target in enumerate(others)}
    tree = Tree(Decided(decided), root_id=1)
    for i in range(len(all_targets)):
        cgroup = tree.root
        for name in (b"%d" % i, b"a", b"b"):
            cgroup = tree.appear(cgroup, name, tree.size + 1)
    return tree


def targets(config: Config) -> list[Decision]:
    return [DIRECT, DROP, *(Decision("tproxy", tproxy.name) for tproxy in config.tproxies)]


@st.composite
def trees(draw: st.DrawFn, config: Config) -> Tree:
    """Any tree, with any decisions that the configuration has."""
    parents = draw(st.lists(st.integers(0, 11), max_size=11))
    paths = [b"/"]
    for number, parent in enumerate(parents):
        paths.append(paths[parent % len(paths)].rstrip(b"/") + b"/%d" % number)
    choices = st.none() | st.sampled_from(targets(config))
    decided = {path: target for path in paths if (target := draw(choices)) is not None}
    tree = Tree(Decided(decided), root_id=1)
    for path in paths[1:]:
        parent_path, _, name = path.rpartition(b"/")
        tree.appear(find(tree, parent_path or b"/"), name, paths.index(path) + 1)
    return tree


def find(tree: Tree, path: bytes) -> Cgroup:
    return next(cgroup for cgroup in tree.root.walk() if cgroup.path == path)


def ancestors(cgroup: Cgroup) -> list[Any]:
    """The cgroup, its parent, and so on up to the root."""
    line = [cgroup]
    while line[-1].parent is not None:
        line.append(line[-1].parent)
    return line
