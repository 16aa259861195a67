"""The table of any configuration: nothing missing, nothing loose, every packet where it belongs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.config.model import Config, Tproxy
from cgtproxy.nft.decision import ANCESTOR_SET
from cgtproxy.nft.flows import FIRST_ZONE
from cgtproxy.nft.model import Set, Table
from cgtproxy.nft.plan import HijackRule, Plan, queries
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.state import State
from unit.configurations import complete_tree, configurations, crowded, trees
from unit.packets import Machine, Packet

Address = IPv4Address | IPv6Address
LEVELS = st.lists(st.integers(0, 255), unique=True, min_size=1, max_size=15)


def targets_of(table: Table, item: Set) -> set[str]:
    return {element.verdict[1] for element in item.elements if element.verdict} - {""}


@given(configurations(), LEVELS)
def test_everything_named_is_there_and_nothing_is_out_of_reach(
    config: Config, levels: Sequence[int]
) -> None:
    table = build(Plan(config), levels)
    chains = {chain.name: chain for chain in table.chains}
    sets = {item.name: item for item in table.sets}
    used = set()
    reached = set()
    pending = [chain.name for chain in table.chains if chain.hook]
    while pending:
        name = pending.pop()
        if name in reached:
            continue
        reached.add(name)
        for rule in chains[name].rules:
            text = " ".join(statement.text for statement in rule)
            pending += re.findall(r"(?<!\S)(?:goto|jump) (\S+)", text)
            for set_name in re.findall(r"@(?!th,)(\S+)", text):
                used.add(set_name)
                pending += targets_of(table, sets[set_name])
    assert reached == chains.keys()
    assert used | {ANCESTOR_SET} == sets.keys()  # which is kept also while nobody asks it


@given(configurations(), LEVELS)
def test_statements_after_a_verdict_do_not_exist(config: Config, levels: Sequence[int]) -> None:
    for chain in build(Plan(config), levels).chains:
        for rule in chain.rules:
            ends = [s.text for s in rule if re.match("accept|drop|return|goto|reject", s.text)]
            assert ends in ([], [rule[-1].text])


def packets(config: Config, cgroups: list[Cgroup]) -> Iterator[Packet]:
    """All that may make a difference: where something special happens, and where nothing does."""
    networks = [*config.bypass, *(network for pool in config.pools for network in pool)]
    edges = [b for n in networks for b in (n.network_address, n.broadcast_address)]
    hijacks = [t.dns_hijack for t in config.tproxies if t.dns_hijack]
    servers = [server for h in hijacks for server in (h.ip, h.ip6) if server]
    usual = map(ip_address, ("127.0.0.1", "127.0.0.54", "::1", "198.51.100.7", "2001:db9::7"))
    destinations = {*usual, *edges, *servers}
    for cgroup in cgroups:
        yield Packet(cgroup, "tcp", ip_address("198.51.100.7"), 443, answer=True)
        yield Packet(cgroup, "icmp", ip_address("198.51.100.7"), 53)
        if config.own_mark:
            yield Packet(cgroup, "udp", ip_address("127.0.0.53"), 53, mark=config.own_mark)
        for what in product(("tcp", "udp"), destinations, (53, 443), (False, True)):
            protocol, destination, port, translated = what
            yield Packet(cgroup, protocol, destination, port, translated=translated)
        if config.tproxies:
            for destination, port in product(destinations, (53, 443)):
                yield Packet(cgroup, "udp", destination, port, new=False, foreign=True)
        yield from of_marked_connections(config, cgroup, destinations)
    root = cgroups[0]
    yield Packet(root, "tcp", ip_address("198.51.100.7"), 443, open=False)
    yield from of_marked_connections(config, root, destinations, open=False)
    for protocol, where in (("icmp", "198.51.100.7"), ("ipv6-icmp", "2001:db9::7")):
        for port in (53, 443):
            flags = {"open": False, "new": False, "invalid": True}
            yield Packet(root, protocol, ip_address(where), port, **flags)


def of_marked_connections(
    config: Config, cgroup: Cgroup, destinations: Iterable[Address], **flags: bool
) -> Iterator[Packet]:
    flags |= {"new": False}
    for mark in {0, 99, *(tproxy.mark for tproxy in config.tproxies)}:
        for destination in destinations:
            for port in (53, 443):
                yield Packet(cgroup, "tcp", destination, port, connection_mark=mark, **flags)
            yield Packet(cgroup, "icmp", destination, 0, connection_mark=mark, **flags)


def fate(config: Config, packet: Packet) -> Tproxy | str:
    """What the documentation says: a TPROXY, "drop" or "untouched"."""
    if packet.answer or packet.mark or packet.foreign:
        return "untouched"
    marked = next((t for t in config.tproxies if t.mark == packet.connection_mark), None)
    if packet.protocol in ("icmp", "ipv6-icmp"):
        of_query = packet.invalid and packet.port == 53 and any(map(queries, config.tproxies))
        return "drop" if of_query else marked or "untouched"
    made_up = any(packet.destination in network for pool in config.pools for network in pool)
    bypassed = any(packet.destination in network for network in config.bypass) and not made_up
    if not (packet.open or packet.new):
        return "untouched" if bypassed else marked or "untouched"
    target = packet.cgroup.decision
    tproxy = next((t for t in config.tproxies if t.name == target.tproxy), None)
    hijacked = tproxy and hijacks(tproxy, packet)
    if bypassed and not (hijacked and hijacked.loopback and packet.destination.is_loopback):
        return "untouched"
    if tproxy is None:
        return {"direct": "untouched", "drop": "drop"}[target.kind]
    if tproxy.no_udp and packet.protocol == "udp":
        return "drop" if made_up else "untouched"
    if tproxy.no_ipv6 and packet.destination.version == 6 and not made_up:
        return "untouched"
    if hijacked:
        there = (hijacked.server, hijacked.server_port) == (packet.destination, packet.port)
        if there or packet.translated:
            return "untouched"
    return tproxy


def hijacks(tproxy: Tproxy, packet: Packet) -> HijackRule | None:
    asked = (packet.destination.version, packet.protocol)
    found = [query for query in queries(tproxy) if (query.version, query.protocol) == asked]
    return found[0] if found and packet.port == 53 else None


def zone(config: Config, packet: Packet) -> int:
    """Who may not be answered by the same server is in different zones."""
    hijacking = [tproxy.name for tproxy in config.tproxies if queries(tproxy)]
    if packet.mark or packet.foreign or (packet.protocol, packet.port) != ("udp", 53):
        return 0
    target = packet.cgroup.decision.tproxy
    return FIRST_ZONE + hijacking.index(target) if target in hijacking else 0


@settings(max_examples=40)
@given(crowded())
def test_every_packet_has_the_fate_that_the_configuration_tells(config: Any) -> None:
    """Walks through the rules as written; that the kernel agrees is for the tests of the kernel."""
    walk_through(config, complete_tree(config))


@settings(max_examples=20)
@given(st.data())
def test_so_it_has_with_any_configuration_and_any_cgroups(data: st.DataObject) -> None:
    config = data.draw(configurations(), label="config")
    walk_through(config, data.draw(trees(config), label="tree"))


def walk_through(config: Config, tree: Tree) -> None:
    plan = Plan(config)
    elements = {key: plan.dispatches[target] for key, target in tree.elements.items()}
    machine = Machine(State(build(plan, tree.levels), elements, tree.ancestors))
    for packet in packets(config, list(tree.root.walk())):
        check(machine, config, packet)


def check(machine: Machine, config: Config, packet: Packet) -> None:
    sent = str(packet)
    wanted = fate(config, packet)
    query = isinstance(wanted, Tproxy) and hijacks(wanted, packet)
    before = packet.mark
    if any(map(queries, config.tproxies)):
        assert (machine.run("raw", packet), packet.zone) == ("accept", zone(config, packet)), sent
    verdict = machine.run("output", packet)
    if isinstance(wanted, str):
        expected = "drop" if wanted == "drop" else "accept"
        assert (verdict, packet.mark) == (expected, before), sent
        return
    assert (verdict, packet.mark) == ("accept", wanted.mark), sent
    if query:
        assert machine.run("dns", packet) == "accept", sent
        assert packet.mark == packet.connection_mark == 0, sent
        assert (packet.destination, packet.port) == (query.server, query.server_port), sent
    else:
        assert packet.connection_mark == wanted.mark, sent
        assert machine.run("prerouting", packet) == "accept", sent
        there = 0 if packet.protocol == "icmp" else wanted.port
        assert packet.tproxy_port == there, sent
