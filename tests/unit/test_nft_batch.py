"""A change as messages: complete, in order, none too long."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import DROP, Config, Decision, DnsHijack, Tproxy
from cgtproxy.nft import wire
from cgtproxy.nft.batch import TABLE_NAME, batch, removal
from cgtproxy.nft.model import Chain, Hook, Table
from cgtproxy.nft.plan import Dispatch, Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.state import Change
from cgtproxy.nft.statements import ACCEPT
from cgtproxy.runtime.netlink.wire import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    Message,
    parse_attributes,
    parse_messages,
)
from unit.configurations import configurations

HEADER = 4  # struct nfgenmsg
ADD, REMOVE = wire.MSG_NEWSETELEM, wire.MSG_DELSETELEM
DISPATCHES = [Dispatch("accept"), Dispatch("drop"), Dispatch("return", "mark-b", "to-mark-b")]
ELEMENTS = st.dictionaries(st.integers(0, 2**64 - 1), st.sampled_from(DISPATCHES), max_size=5)
IDS = st.sets(st.integers(0, 2**64 - 1), max_size=5)
CHAINS = st.lists(
    st.builds(
        Chain,
        st.sampled_from(["a", "b"]),
        st.just(((ACCEPT,), (ACCEPT,))),
        st.sampled_from([None, Hook("filter", "output", 0)]),
    ),
    max_size=2,
).map(tuple)
PARTS = st.builds(
    Change,
    st.none(),
    chains=CHAINS,
    gone=st.sampled_from([(), ("c",), ("c", "d")]),
    remove=ELEMENTS,
    add=ELEMENTS,
    remove_ancestors=IDS,
    add_ancestors=IDS,
).filter(bool)


def messages(change: Change, *, exists: bool = False) -> list[Message]:
    encoded = batch(change, table_flags=6, exists=exists).encode()
    parsed = list(parse_messages(b"".join(encoded)))
    assert len(parsed) == len(encoded)
    return parsed


def attributes(message: Message) -> dict[int, bytes]:
    return dict(parse_attributes(message.body, HEADER))


def elements(message: Message) -> list[dict[int, bytes]]:
    listed = parse_attributes(attributes(message)[wire.ELEMENTS_LIST])
    return [dict(parse_attributes(payload)) for _, payload in listed]


def key(element: dict[int, bytes]) -> bytes:
    ((kind, value),) = parse_attributes(element[wire.ELEM_KEY])
    assert kind == wire.DATA_VALUE
    return value


def by_set(parsed: list[Message], kind: int) -> dict[bytes, list[bytes]]:
    """The keys in the messages of this kind, by set."""
    found: dict[bytes, list[bytes]] = {}
    for message in parsed:
        if message.kind == kind:
            name = attributes(message)[wire.ELEMENTS_SET].rstrip(b"\0")
            found.setdefault(name, []).extend(map(key, elements(message)))
    return found


CHANGES = st.one_of(
    st.builds(
        Change,
        configurations().map(lambda config: build(Plan(config), [1, 2])),
        chains=st.just(()),
        gone=st.just(()),
        remove=st.just({}),
        add=ELEMENTS,
        remove_ancestors=st.just(set()),
        add_ancestors=IDS,
    ),
    PARTS,
)


@given(CHANGES, st.booleans())
def test_framing(change: Change, exists: bool) -> None:
    """Begin, changes, end; sequence numbers are indices of names; the last change asks for an ACK.

    NLM_F_EXCL would refuse what a predecessor left.
    """
    made = batch(change, table_flags=6, exists=exists)
    parsed = messages(change, exists=exists)
    assert [m.seq for m in parsed] == list(range(len(parsed)))
    assert len(made.names) == len(parsed) - 1
    assert (parsed[0].kind, parsed[-1].kind) == (wire.MSG_BATCH_BEGIN, wire.MSG_BATCH_END)
    subsystem = struct.pack(">BBH", 0, 0, wire.NFNL_SUBSYS_NFTABLES)
    assert parsed[0].body == parsed[-1].body == subsystem
    inet = struct.pack(">BBH", wire.NFPROTO_INET, 0, 0)
    assert all(m.body.startswith(inet) and attributes(m)[1] == b"cgtproxy\0" for m in parsed[1:-1])
    assert [m.seq for m in parsed if m.flags & NLM_F_ACK] == [len(parsed) - 2]
    assert all(m.flags & NLM_F_REQUEST and not m.flags & NLM_F_EXCL for m in parsed)


@given(configurations(), st.booleans())
def test_a_table_replaces_what_is_there_and_comes_in_an_order_that_resolves(
    config: Config, exists: bool
) -> None:
    table = build(Plan(config), [1, 2])
    kinds = [m.kind for m in messages(Change(table=table), exists=exists)][1:-1]
    if exists:
        assert kinds.pop(0) == wire.MSG_DELTABLE
    order = [wire.MSG_NEWTABLE, wire.MSG_NEWCHAIN, wire.MSG_NEWSET, ADD, wire.MSG_NEWRULE]
    assert kinds == sorted(kinds, key=order.index)
    rules = sum(len(chain.rules) for chain in table.chains)
    wanted = [1, len(table.chains), len(table.sets), None, rules]
    for kind, count in zip(order, wanted, strict=True):
        assert count in (None, kinds.count(kind))


@given(PARTS)
def test_chains_are_made_and_filled_then_removed_then_elements_change(change: Change) -> None:
    kinds = [message.kind for message in messages(change)[1:-1]]
    made = [wire.MSG_NEWCHAIN] * sum(chain.hook is None for chain in change.chains)
    refilled = [wire.MSG_DELRULE, wire.MSG_NEWRULE, wire.MSG_NEWRULE] * len(change.chains)
    removed = [wire.MSG_DELRULE] * len(change.gone) + [wire.MSG_DELCHAIN] * len(change.gone)
    chains = [*made, *refilled, *removed]
    assert kinds[: len(chains)] == chains
    rest = kinds[len(chains) :]
    assert rest == sorted(rest, key=[REMOVE, ADD].index)
    for kind, elements, ancestors in (
        (REMOVE, change.remove, change.remove_ancestors),
        (ADD, change.add, change.add_ancestors),
    ):
        keys = by_set(messages(change), kind)
        assert keys.get(b"cgroup-vmap", []) == [struct.pack("=Q", each) for each in elements]
        assert keys.get(b"ancestors", []) == [struct.pack("=Q", each) for each in ancestors]


@given(ELEMENTS.filter(bool), st.sampled_from([ADD, REMOVE]))
def test_each_cgroup_is_in_the_map_and_in_the_set_of_its_outcome(
    changed: dict[int, Dispatch], kind: int
) -> None:
    change = Change(add=changed) if kind == ADD else Change(remove=changed)
    ids = {name: [struct.pack("=Q", i) for i in found] for name, found in sets(changed).items()}
    assert by_set(messages(change), kind) == ids


def sets(changed: dict[int, Dispatch]) -> dict[bytes, list[int]]:
    listed = [i for i, dispatch in changed.items() if dispatch.set_name]
    return {b"cgroup-vmap": list(changed)} | ({b"to-mark-b": listed} if listed else {})


@pytest.mark.parametrize(("verdict", "code"), [("accept", 1), ("continue", -1), ("return", -5)])
def test_the_verdict_of_an_element(verdict: str, code: int) -> None:
    (element,) = elements(messages(Change(add={7: Dispatch(verdict)}))[1])
    assert key(element) == struct.pack("=Q", 7)
    ((kind, data),) = parse_attributes(element[wire.ELEM_DATA])
    assert kind == wire.DATA_VERDICT
    assert list(parse_attributes(data)) == [(wire.VERDICT_CODE, struct.pack(">i", code))]


def test_a_hundred_thousand_cgroups_fit() -> None:
    """The length of an attribute has 16 bits: encoding raises where it does not fit."""
    plan = Plan(Config(None, 300, tproxies=tuple(Tproxy(n, 1, i) for i, n in enumerate("abc", 1))))
    dispatches = [plan.dispatches[DROP], plan.dispatches[Decision("tproxy", "c")]]
    many = {number << 32: dispatches[number % 2] for number in range(100_000)}
    parsed = messages(Change(table=build(plan, [1]), add=many))
    found = by_set(parsed, ADD)
    assert found[b"cgroup-vmap"] == [struct.pack("=Q", i) for i in many]
    assert len(found[b"to-mark-c"]) == 50_000
    assert max(len(message.body) for message in parsed) < 1 << 16


def test_ten_thousand_bypass_networks_and_a_thousand_longest_names_fit() -> None:
    hijack = DnsHijack(IPv4Address("127.0.0.1"), None, 5300, True, True)
    tproxies = tuple(
        Tproxy(f"{number:04}{'x' * 96}", 1, number, dns_hijack=hijack) for number in range(1, 1001)
    )
    bypass = tuple(ip_network(f"10.{i >> 8}.{i & 255}.0/25") for i in range(10_000))
    table = build(Plan(Config(None, 300, bypass=bypass, tproxies=tproxies)), [1])
    found = by_set(messages(Change(table=table)), ADD)
    assert len(found[b"bypass"]) == 20_000
    assert len(found[b"tproxy-vmap"]) == len(found[b"dns-vmap"]) == 1000


def test_a_refusal_can_be_told_by_name() -> None:
    table = Table((), (Chain("a", ((ACCEPT,),)),))
    made = batch(Change(table=table, add={1: DISPATCHES[2]}), table_flags=0, exists=True)
    assert made.names == [
        "the transaction",
        TABLE_NAME,
        TABLE_NAME,
        "chain a",
        "the rule `accept` in chain a",
        "the cgroups to add in set cgroup-vmap",
        "the cgroups to add in set to-mark-b",
    ]


def test_flags_of_the_table() -> None:
    (table,) = [m for m in messages(Change(table=Table((), ()))) if m.kind == wire.MSG_NEWTABLE]
    assert attributes(table)[wire.TABLE_FLAGS] == bytes((0, 0, 0, 6))
    assert table.flags & NLM_F_CREATE


def test_removal() -> None:
    kinds = [message.kind for message in parse_messages(b"".join(removal().encode()))]
    assert kinds == [wire.MSG_BATCH_BEGIN, wire.MSG_DELTABLE, wire.MSG_BATCH_END]
