"""What is in the kernel, what should be, and what to do about the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import NamedTuple, TypeGuard

from cgtproxy.nft.model import Chain, Hook, Table
from cgtproxy.nft.plan import Dispatch

Elements = Mapping[int, Dispatch]  # by cgroup id
NO_ELEMENTS: Elements = MappingProxyType({})
NOBODY: Set[int] = frozenset()


class State:
    """`table` None: there is none, or one that we cannot vouch for.

    `ancestors`: the ids of cgroups that have elements below them.
    """

    def __init__(
        self,
        table: Table | None = None,
        elements: dict[int, Dispatch] | None = None,
        ancestors: set[int] | None = None,
    ) -> None:
        self.table = table
        self.elements = {} if elements is None else elements
        self.ancestors = set() if ancestors is None else ancestors


class Change(NamedTuple):
    """One transaction. With `table`, everything is made anew, else only what is named changes.

    `chains` are new or have new rules, those called `gone` are removed.
    """

    table: Table | None = None
    chains: tuple[Chain, ...] = ()
    gone: tuple[str, ...] = ()
    remove: Elements = NO_ELEMENTS
    add: Elements = NO_ELEMENTS
    remove_ancestors: Set[int] = NOBODY
    add_ancestors: Set[int] = NOBODY

    def __bool__(self) -> bool:
        """Whether there is something to do."""
        return any(tuple(self))


def diff(wanted: State, seen: State, touched: Iterable[int] | None = None) -> Change:
    """What turns `seen` into `wanted`; only the elements and ancestors in `touched` may differ,
    None: any."""
    if wanted.table is None:
        raise ValueError("a wanted state has a table")
    if not _same_structure(seen.table, wanted.table):
        if touched is not None:
            raise ValueError("a table that is made anew needs all its elements")
        return Change(wanted.table, add=wanted.elements, add_ancestors=wanted.ancestors)
    if touched is None:
        touched = wanted.elements.keys() | seen.elements | wanted.ancestors | seen.ancestors
    add, remove = {}, {}
    for key in touched:
        new, old = wanted.elements.get(key), seen.elements.get(key)
        if new != old:
            if old is not None:
                remove[key] = old
            if new is not None:
                add[key] = new
    chains, gone = _changed_chains(seen.table, wanted.table)
    return Change(
        chains=chains,
        gone=gone,
        remove=remove,
        add=add,
        remove_ancestors=seen.ancestors.intersection(touched) - wanted.ancestors,
        add_ancestors=wanted.ancestors.intersection(touched) - seen.ancestors,
    )


def _same_structure(seen: Table | None, wanted: Table) -> TypeGuard[Table]:
    """Whether they differ in nothing but rules, and chains that other chains lead to."""
    if seen is None or seen is wanted:
        return seen is wanted
    return seen.sets == wanted.sets and _hooks(seen) == _hooks(wanted)


def _hooks(table: Table) -> list[tuple[str, Hook]]:
    return [(chain.name, chain.hook) for chain in table.chains if chain.hook]


def _changed_chains(seen: Table, wanted: Table) -> tuple[tuple[Chain, ...], tuple[str, ...]]:
    """The chains that are new or have other rules, and the names of those that are not wanted."""
    if wanted is seen:
        return (), ()
    new = {chain.name: chain for chain in wanted.chains}
    old = {chain.name: chain for chain in seen.chains}
    changed = tuple(chain for name, chain in new.items() if old.get(name) != chain)
    return changed, tuple(name for name in old if name not in new)


def apply(seen: State, change: Change, wanted: Table) -> None:
    """Make `seen` what it is after this transaction."""
    seen.table = wanted
    if change.table:
        seen.elements, seen.ancestors = dict(change.add), set(change.add_ancestors)
        return
    for key in change.remove:
        del seen.elements[key]
    seen.elements.update(change.add)
    seen.ancestors -= change.remove_ancestors
    seen.ancestors |= change.add_ancestors
