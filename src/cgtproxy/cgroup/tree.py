"""The cgroups as we know them, each with its decision, and the least the kernel must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from cgtproxy.config.model import DIRECT, Decision

# nft_socket's limit for `level`; what is deeper follows its ancestor at this level.
DEEPEST_LEVEL = 255


class Policy(Protocol):
    """What decides about cgroups."""

    def decide(self, path: bytes, inherited: Decision) -> tuple[int | None, Decision]:
        """The index of the rule that matches `path`, None if none does, and the decision."""


class Unit(NamedTuple):
    """A unit of systemd's, and its ActiveState."""

    name: str
    state: str


class Cgroup:
    """One cgroup.

    `path` begins with `/` and is relative to the tree's root; `id` is the kernel's, which is the
    inode number of its directory; `level` is its depth as nft_socket counts; `rule` is the index
    of the rule that matched, None where it follows its parent; `branches` is how many of its
    children have an element, or have one below them; `unit` is the unit that lives in it, as far as
    the monitor knows; `watch` is for the monitor.
    """

    __slots__ = (
        "alive",
        "branches",
        "children",
        "decision",
        "id",
        "level",
        "name",
        "parent",
        "path",
        "rule",
        "unit",
        "watch",
    )

    def __init__(self, name: bytes, cgroup_id: int, parent: Cgroup | None, level: int) -> None:
        self.name = name
        self.id = cgroup_id
        self.parent = parent
        self.level = level
        self.path = name if parent is None else parent.prefix + name
        self.children: dict[bytes, Cgroup] = {}
        self.branches = 0
        self.rule: int | None = None
        self.decision = DIRECT
        self.unit: Unit | None = None
        self.watch = -1
        self.alive = True

    @property
    def prefix(self) -> bytes:
        """What the paths of its children begin with."""
        return self.path if self.parent is None else self.path + b"/"

    @property
    def inherited(self) -> Decision:
        """The decision that it has where no rule matches: its parent's."""
        return DIRECT if self.parent is None else self.parent.decision

    @property
    def unit_above(self) -> Unit | None:
        """The unit that it belongs to: its own, or that of the nearest cgroup above."""
        cgroup: Cgroup | None = self
        while cgroup is not None and cgroup.unit is None:
            cgroup = cgroup.parent
        return cgroup.unit if cgroup else None

    def walk(self) -> Iterator[Cgroup]:
        """It and everything below, parents first; deep trees must not exhaust the stack."""
        pending = [self]
        while pending:
            cgroup = pending.pop()
            yield cgroup
            pending.extend(cgroup.children.values())


class Tree:
    """Keeps `elements` minimal: only cgroups whose decision differs from their parent's.

    `ancestors` are the ids of the cgroups, but for the root's, that have elements below them.
    `touched` collects, by id, the cgroups whose element may have changed, or whether they are
    ancestors, and `decided` all that were decided on, until somebody clears them.
    """

    def __init__(self, policy: Policy, root_id: int, root_level: int = 0) -> None:
        self._policy = policy
        self.elements: dict[int, Decision] = {}
        self.ancestors: set[int] = set()
        self.touched: dict[int, Cgroup] = {}
        self.decided: list[Cgroup] = []
        self._levels: Counter[int] = Counter()
        self.size = 1
        self.root = Cgroup(b"/", root_id, None, root_level)
        self._decide(self.root)

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels that have elements, or had some since trim(), ascending.

        To give up a level at once would cost two changes of rules, for which nf_tables validates
        the whole map, each time that a level's only app is started and ended.
        """
        return tuple(sorted(self._levels))

    def trim(self) -> bool:
        """Give up the levels that have no elements any more; whether there were such."""
        unused = [level for level, count in self._levels.items() if not count]
        for level in unused:
            del self._levels[level]
        return bool(unused)

    def appear(self, parent: Cgroup, name: bytes, cgroup_id: int) -> Cgroup:
        """Add a cgroup, and decide about it."""
        cgroup = Cgroup(name, cgroup_id, parent, parent.level + 1)
        parent.children[name] = cgroup
        self.size += 1
        self._decide(cgroup)
        return cgroup

    def find(self, path: bytes) -> Cgroup | None:
        """The cgroup of that path, None if it is not known."""
        cgroup = self.root
        for name in filter(None, path.split(b"/")):
            if name not in cgroup.children:
                return None
            cgroup = cgroup.children[name]
        return cgroup

    def vanish(self, cgroup: Cgroup) -> None:
        """Forget a cgroup, never the root, and all below it."""
        if cgroup.parent is not None:
            del cgroup.parent.children[cgroup.name]
        for gone in cgroup.walk():
            gone.alive = False
            self.size -= 1
            self._set_element(gone, None)

    def redecide(self, policy: Policy) -> None:
        """Apply other rules to the same cgroups."""
        self._policy = policy
        for cgroup in self.root.walk():
            self._decide(cgroup)
        self.trim()

    def _decide(self, cgroup: Cgroup) -> None:
        inherited = cgroup.inherited
        cgroup.rule, cgroup.decision = self._policy.decide(cgroup.path, inherited)
        self.decided.append(cgroup)
        differs = cgroup.decision != inherited and cgroup.level <= DEEPEST_LEVEL
        self._set_element(cgroup, cgroup.decision if differs else None)

    def _set_element(self, cgroup: Cgroup, decision: Decision | None) -> None:
        old = self.elements.get(cgroup.id)
        if old == decision:
            return
        self.touched[cgroup.id] = cgroup
        if decision is None:
            del self.elements[cgroup.id]
            self._levels[cgroup.level] -= 1
            self._count(cgroup, -1)
        else:
            self._levels[cgroup.level] += old is None
            self.elements[cgroup.id] = decision
            if old is None:
                self._count(cgroup, 1)

    def _count(self, cgroup: Cgroup, change: int) -> None:
        """Tell the cgroups above that this one's element has come (1) or gone (-1)."""
        counted = bool(cgroup.branches)  # in its parent's, for elements below it
        while not counted and cgroup.parent not in (None, self.root):
            cgroup = cgroup.parent
            cgroup.branches += change
            if cgroup.branches != max(change, 0):
                return  # neither its first branch nor its last
            if change > 0:
                self.ancestors.add(cgroup.id)
            else:
                self.ancestors.discard(cgroup.id)
            self.touched[cgroup.id] = cgroup
            counted = cgroup.id in self.elements
