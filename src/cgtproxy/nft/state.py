"""What is in the kernel, what should be, and what to do about the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from cgtproxy.nft.model import Chain, Table
from cgtproxy.nft.plan import Outcome

Elements = Mapping[int, Outcome]  # by cgroup id
NO_ELEMENTS: Elements = MappingProxyType({})


class State:
    """`table` None: there is none, or one that we cannot vouch for."""

    def __init__(
        self, table: Table | None = None, elements: dict[int, Outcome] | None = None
    ) -> None:
        self.table = table
        self.elements = {} if elements is None else elements


class Change(NamedTuple):
    """One transaction. With `table`, everything is made anew, else only what is named changes."""

    table: Table | None = None
    chains: tuple[Chain, ...] = ()
    remove: Elements = NO_ELEMENTS
    add: Elements = NO_ELEMENTS

    def __bool__(self) -> bool:
        return bool(self.table or self.chains or self.remove or self.add)


def diff(wanted: State, seen: State, touched: Iterable[int] | None = None) -> Change:
    """What turns `seen` into `wanted`; only the elements in `touched` may differ, None: any."""
    if wanted.table is None:
        raise ValueError("a wanted state has a table")
    chains = _changed_chains(wanted.table, seen.table)
    if chains is None:
        if touched is not None:
            raise ValueError("a table that is made anew needs all its elements")
        return Change(table=wanted.table, add=wanted.elements)
    if touched is None:
        touched = wanted.elements.keys() | seen.elements.keys()
    add, remove = {}, {}
    for key in touched:
        new, old = wanted.elements.get(key), seen.elements.get(key)
        if new != old:
            if old is not None:
                remove[key] = old
            if new is not None:
                add[key] = new
    return Change(chains=chains, remove=remove, add=add)


def _changed_chains(wanted: Table, seen: Table | None) -> tuple[Chain, ...] | None:
    """The chains whose rules differ; None where more than rules does."""
    if wanted is seen:
        return ()
    if seen is None or wanted.sets != seen.sets or len(wanted.chains) != len(seen.chains):
        return None
    pairs = list(zip(wanted.chains, seen.chains, strict=True))
    if any((new.name, new.hook) != (old.name, old.hook) for new, old in pairs):
        return None
    return tuple(new for new, old in pairs if new.rules != old.rules)


def apply(seen: State, change: Change, wanted: Table) -> None:
    """Make `seen` what it is after this transaction."""
    seen.table = wanted
    if change.table:
        seen.elements = dict(change.add)
        return
    for key in change.remove:
        del seen.elements[key]
    seen.elements.update(change.add)
