"""The difference between wanted and seen is the change that makes them the same."""

from __future__ import annotations

import re
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import Config
from cgtproxy.nft.model import Chain, Hook, Set, Table
from cgtproxy.nft.plan import Dispatch, Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.state import Change, State, apply, diff
from cgtproxy.nft.statements import ACCEPT, DROP, RETURN
from unit.configurations import configurations

RULES = st.lists(st.sampled_from([(ACCEPT,), (DROP,), (RETURN,)]), max_size=3).map(tuple)
HOOK = Hook("filter", "output", 0)
HOOKS = st.sampled_from([None, HOOK, Hook("filter", "output", 1)])
CHAINS = st.lists(
    st.builds(Chain, st.sampled_from("abc"), RULES, HOOKS), unique_by=lambda c: c.name, max_size=3
).map(tuple)
SETS = st.lists(st.builds(Set, st.sampled_from("xy"), st.just("mark")), max_size=2).map(tuple)
DISPATCHES = st.sampled_from(
    [
        Dispatch("accept"),
        Dispatch("drop"),
        Dispatch("return", "c", "s"),
        Dispatch("return", "d", "t"),
    ]
)
ELEMENTS = st.dictionaries(st.integers(1, 8), DISPATCHES)
ANCESTORS = st.sets(st.integers(1, 8))
TABLES = st.builds(Table, SETS, CHAINS)
WANTED = st.builds(State, TABLES, ELEMENTS, ANCESTORS)
SEEN = st.builds(State, st.none(), st.just({})) | WANTED


def table_of(state: State) -> Table:
    assert state.table
    return state.table


@st.composite
def pairs(draw: st.DrawFn) -> tuple[State, State]:
    """Wanted and seen: of one kind of table, or with nothing in common."""
    wanted = draw(WANTED)
    if draw(st.booleans()):
        return wanted, draw(SEEN)
    chains = [chain._replace(rules=draw(RULES)) for chain in table_of(wanted).chains]
    others = draw(st.lists(st.builds(Chain, st.sampled_from("de"), RULES), max_size=1))
    kept = [chain for chain in chains if chain.hook or draw(st.booleans())]
    table = table_of(wanted)._replace(chains=(*kept, *others))
    return wanted, State(table, draw(ELEMENTS), draw(ANCESTORS))


@given(pairs())
def test_the_difference_makes_seen_what_is_wanted(pair: tuple[State, State]) -> None:
    wanted, seen = pair
    before = deepcopy((wanted.table, wanted.elements, wanted.ancestors))
    apply(seen, diff(wanted, seen), table_of(wanted))
    assert (seen.table, seen.elements, seen.ancestors) == before
    assert (wanted.table, wanted.elements, wanted.ancestors) == before
    assert not diff(wanted, seen)


@given(pairs())
def test_a_change_names_only_what_differs(pair: tuple[State, State]) -> None:
    wanted, seen = pair
    change = diff(wanted, seen)
    if change.table is not None:
        assert seen.table is None or seen.table != wanted.table
        return
    # What the kernel is told to remove is there as told, what it is told to add is not.
    assert all(seen.elements[key] == dispatch for key, dispatch in change.remove.items())
    assert all(seen.elements.get(key) != dispatch for key, dispatch in change.add.items())
    assert all(key in change.remove for key in change.add.keys() & seen.elements.keys())
    assert change.remove_ancestors <= seen.ancestors
    assert not change.add_ancestors & seen.ancestors
    assert not set(change.chains) & set(table_of(seen).chains)
    new, old = (
        {chain.name: chain.hook for chain in table_of(state).chains} for state in (wanted, seen)
    )
    assert set(change.gone) == old.keys() - new.keys()
    assert all(chain.hook == old.get(chain.name) for chain in change.chains)


@given(pairs(), st.sets(st.integers(1, 9)))
def test_what_is_not_touched_stays(pair: tuple[State, State], touched: set[int]) -> None:
    wanted, seen = pair
    seen.table = wanted.table
    before, ancestors = dict(seen.elements), set(seen.ancestors)
    chosen = {k: v for k, v in wanted.elements.items() if k in touched}
    restricted = State(wanted.table, chosen, wanted.ancestors & touched)
    change = diff(restricted, seen, touched)
    assert change == diff(wanted, seen, touched)
    apply(seen, change, table_of(wanted))
    assert seen.ancestors == (ancestors - touched) | (wanted.ancestors & touched)
    for key in wanted.elements.keys() | before.keys():
        source = wanted.elements if key in touched else before
        assert seen.elements.get(key) == source.get(key)


LEVELS = st.sets(st.integers(0, 30))


@given(configurations(), ELEMENTS, LEVELS, LEVELS)
def test_other_levels_change_chains_only(
    config: Config, elements: dict[int, Dispatch], old_levels: set[int], new_levels: set[int]
) -> None:
    plan = Plan(config)
    seen = State(build(plan, sorted(old_levels)), dict(elements))
    wanted = State(build(plan, sorted(new_levels)), dict(elements))
    change = diff(wanted, seen)
    assert change.table is None
    changed = {chain.name for chain in change.chains} | set(change.gone)
    assert all(re.fullmatch(r"(zone-)?(cgroups|decide)(-deep-\d)?", name) for name in changed)
    assert bool(change) == (old_levels != new_levels)


def test_nothing_seen_means_everything_anew() -> None:
    table = Table((), (Chain("a", ()),))
    change = diff(State(table, {1: Dispatch("drop")}), State())
    assert change == Change(table=table, add={1: Dispatch("drop")})


@pytest.mark.parametrize(
    "other",
    [
        Table((Set("x", "mark"),), (Chain("a", ()), Chain("b", (), HOOK))),
        Table((), (Chain("a", ()),)),
        Table((), (Chain("a", ()), Chain("b", ()))),
        Table((), (Chain("a", (), HOOK), Chain("b", (), HOOK))),
        Table((), (Chain("a", ()), Chain("b", (), Hook("filter", "output", 1)))),
    ],
)
def test_another_structure_is_made_anew(other: Table) -> None:
    table = Table((), (Chain("a", ()), Chain("b", (), HOOK)))
    assert diff(State(table), State(other)).table is table


def test_there_is_no_change_to_nothing() -> None:
    with pytest.raises(ValueError, match="has a table"):
        diff(State(), State())
