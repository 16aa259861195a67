"""What one configuration wants of the kernel."""

from __future__ import annotations

from collections.abc import Iterable

from cgtproxy.cgroup.tree import Tree
from cgtproxy.config.model import Config
from cgtproxy.nft.model import Table
from cgtproxy.nft.plan import Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.state import State
from cgtproxy.policy import Policy
from cgtproxy.routing.model import Entry, Families, wanted


class Goal:
    """A configuration, compiled: cgroups to decisions, decisions to kernel state."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.policy = Policy(config.rules)
        self._plan = Plan(config)
        self._levels: tuple[int, ...] = ()
        self._table = build(self._plan, ())

    def table(self, levels: tuple[int, ...]) -> Table:
        """The same object as long as the levels are the same."""
        if levels != self._levels:
            self._levels, self._table = levels, build(self._plan, levels)
        return self._table

    def state(self, tree: Tree, ids: Iterable[int] | None = None) -> State:
        """The wanted table, elements and ancestors; with `ids`, of these cgroups only."""
        dispatches, elements, ancestors = self._plan.dispatches, tree.elements, tree.ancestors
        chosen = elements.keys() if ids is None else elements.keys() & ids
        return State(
            self.table(tree.levels),
            {i: dispatches[elements[i]] for i in chosen},
            ancestors if ids is None else ancestors.intersection(ids),
        )

    def routing(self, families: Families) -> set[Entry]:
        """The wanted rules and routes, for the families that the host has now."""
        return wanted(self.config, families)
