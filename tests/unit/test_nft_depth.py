"""Elements at many levels: each still decides, and a deep tree costs only its own packets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgtproxy.cgroup.tree import DEEPEST_LEVEL, Cgroup, Tree
from cgtproxy.config.model import DIRECT, DROP, Config, Decision, DnsHijack, Tproxy
from cgtproxy.nft.decision import SHALLOW
from cgtproxy.nft.flows import FIRST_ZONE
from cgtproxy.nft.model import Chain, Table
from cgtproxy.nft.plan import Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.state import State
from unit.configurations import Decided, targets
from unit.packets import Machine, Packet

JUMP_STACK_SIZE = 16  # NFT_JUMP_STACK_SIZE
LEVELS = st.sets(st.integers(0, DEEPEST_LEVEL), min_size=1)
REMOTE = ip_address("198.51.100.7")
HIJACK = DnsHijack(IPv4Address("127.0.0.1"), None, 5300, True, True)


def config_of(tproxies: int) -> Config:
    made = (Tproxy(f"t{mark}", 1, mark, dns_hijack=HIJACK) for mark in range(1, tproxies + 1))
    return Config(None, 300, tproxies=tuple(made))


def tree_of(decisions: Mapping[bytes, Decision]) -> Tree:
    """The cgroups at these paths and all above them."""
    tree = Tree(Decided(decisions), root_id=1)
    for path in decisions:
        cgroup = tree.root
        for name in filter(None, path.split(b"/")):
            cgroup = cgroup.children.get(name) or tree.appear(cgroup, name, tree.size + 1)
    return tree


def machine_of(config: Config, tree: Tree) -> Machine:
    plan = Plan(config)
    elements = {key: plan.dispatches[decision] for key, decision in tree.elements.items()}
    return Machine(State(build(plan, tree.levels), elements, tree.ancestors))


@st.composite
def deep_paths(draw: st.DrawFn) -> bytes:
    """A cgroup beside one of two lines of cgroups, each in the one before."""
    line, depth, twig = draw(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.booleans()))
    return f"/{line}{'/d' * depth}{'/twig' * twig}".encode()


@settings(max_examples=60)
@given(st.data())
def test_elements_at_all_depths_decide(data: st.DataObject) -> None:
    config = config_of(data.draw(st.integers(0, 4), label="TPROXYs"))
    decisions = st.dictionaries(deep_paths(), st.sampled_from(targets(config)), max_size=60)
    tree = tree_of(data.draw(decisions, label="decisions"))
    machine = machine_of(config, tree)
    for cgroup in tree.root.walk():
        web, query = Packet(cgroup, "tcp", REMOTE, 443), Packet(cgroup, "udp", REMOTE, 53)
        name = cgroup.decision.tproxy
        mark = next((tproxy.mark for tproxy in config.tproxies if tproxy.name == name), 0)
        verdict = "drop" if cgroup.decision == DROP else "accept"
        assert (machine.run("output", web), web.mark) == (verdict, mark), web
        if config.tproxies:
            machine.run("raw", query)
            assert query.zone == (FIRST_ZONE + mark - 1 if mark else 0), query


def asked(chain: Chain) -> list[int]:
    texts = (rule[0].text for rule in chain.rules)
    found = (re.fullmatch(r"socket cgroupv2 level (\d+) vmap @cgroup-vmap", text) for text in texts)
    return [int(match[1]) for match in found if match]


@given(LEVELS)
def test_each_chain_asks_about_some_of_the_shallowest_levels_and_the_last_about_all(
    levels: set[int],
) -> None:
    table = build(Plan(config_of(1)), sorted(levels))
    counts = []
    for chain in table.chains:
        if chain.name.startswith("cgroups"):
            assert asked(chain) == sorted(levels)[: len(asked(chain))][::-1]
            counts.append(len(asked(chain)))
    assert counts[0] <= SHALLOW + 1
    assert counts[-1] == len(levels)
    assert all(less < more <= 2 * less + 1 for less, more in pairwise(counts))


def nesting(table: Table, name: str) -> int:
    """How many chains a packet may be in at once, from this one on."""
    texts = [s.text for rule in table.chain(name).rules for s in rule]
    maps = {f"vmap @{item.name}": item for item in table.sets if item.is_map and item.constant}
    inner = {text.split()[1] for text in texts if re.match("goto|jump", text)}
    for text, item in maps.items():
        if any(each.endswith(text) for each in texts):
            inner |= {element.verdict[1] for element in item.elements if element.verdict}
    return 1 + max((nesting(table, each) for each in inner), default=0)


@pytest.mark.parametrize("tproxies", [0, 1, 3])
def test_the_kernel_allows_so_many_chains_in_each_other(tproxies: int) -> None:
    table = build(Plan(config_of(tproxies)), range(DEEPEST_LEVEL + 1))
    assert max(nesting(table, c.name) for c in table.chains if c.hook) < JUMP_STACK_SIZE


def look_ups(machine: Machine, cgroup: Cgroup | None) -> int:
    assert cgroup
    before = machine.look_ups
    machine.run("output", Packet(cgroup, "udp", REMOTE, 443))
    return machine.look_ups - before


def alternating(path: str, depth: int) -> dict[bytes, Decision]:
    """A line of cgroups below `path`, each with another decision than the one above."""
    return {
        (path + "/d" * below).encode(): Decision("tproxy", "t1") if below % 2 else DIRECT
        for below in range(1, depth + 1)
    }


APPS = b"/user.slice/user-1000.slice/user@1000.service/app.slice"
ORDINARY = {
    b"/system.slice/blocked.service": DROP,
    b"/system.slice/direct.service": DIRECT,
    b"/user.slice/user-1000.slice/user@1000.service/app.slice/firefox.scope": Decision(
        "tproxy", "t1"
    ),
    b"/user.slice/user-1000.slice/user@1000.service/app.slice/steam.scope": DIRECT,
}


def test_a_deep_tree_costs_the_packets_of_others_a_few_look_ups() -> None:
    deep = alternating("/user.slice/user-1001.slice/user@1001.service", DEEPEST_LEVEL - 3)
    config = config_of(1)
    alone, beside = tree_of(ORDINARY), tree_of(ORDINARY | deep)
    assert len(alone.levels) == 2
    assert len(beside.levels) > DEEPEST_LEVEL - 3
    before, after = machine_of(config, alone), machine_of(config, beside)
    for path in ORDINARY:
        more = look_ups(after, beside.find(path)) - look_ups(before, alone.find(path))
        assert more <= SHALLOW
    # Its own are sent on from chain to chain, and find their element at once.
    assert look_ups(after, beside.find(max(deep, key=len))) == 7
