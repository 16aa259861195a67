"""What the engine did, as log lines."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.config.model import Rule
from cgtproxy.nft.state import Change
from cgtproxy.runtime.logs import fields

MOST_LINES = 10  # a transaction that changes more is summed up
MANY = 10_000  # cgroups, more than a machine in normal use has

log = logging.getLogger("cgtproxy")


def decisions(decided: Sequence[Cgroup], rules: Sequence[Rule]) -> None:
    """Every decision, for DEBUG."""
    for cgroup in decided:
        _line(logging.DEBUG, cgroup, rules)


def changed(change: Change, touched: Mapping[int, Cgroup], rules: Sequence[Rule]) -> None:
    """The cgroups whose decision in the kernel changed, for INFO."""
    if not log.isEnabledFor(logging.INFO):
        return
    added = [touched[key] for key in change.add if key in touched]
    gone = [touched[key] for key in change.remove.keys() - change.add.keys() if key in touched]
    if len(added) + len(gone) <= MOST_LINES:
        for cgroup in added:
            _line(logging.INFO, cgroup, rules)
        for cgroup in gone:
            path = os.fsdecode(cgroup.path)
            how = "now follows its parent" if cgroup.alive else "gone"
            log.info("%s: %s", path, how, extra=fields(CGROUP=path))
        return
    counts = Counter(cgroup.decision for cgroup in added)
    parts = [f"{count} {decision}" for decision, count in counts.most_common()]
    if gone:
        parts.append(f"{len(gone)} gone")
    log.info("%d cgroups: %s", len(added) + len(gone), ", ".join(parts))


def _line(level: int, cgroup: Cgroup, rules: Sequence[Rule]) -> None:
    if not log.isEnabledFor(level):
        return
    path = os.fsdecode(cgroup.path)
    values: dict[str, object] = {"CGROUP": path, "CGROUP_ID": cgroup.id, "TARGET": cgroup.decision}
    if unit := cgroup.unit_above:
        values |= {"UNIT": unit.name, "UNIT_STATE": unit.state}
    if cgroup.rule is None:
        why = "no rule, like its parent"
    else:
        rule = rules[cgroup.rule]
        where = f", line {rule.line}" if rule.line else ""
        why = f"rules[{cgroup.rule}]{where}"
        values |= {"RULE": cgroup.rule, "RULE_MATCH": rule.match}
    log.log(level, "%s: %s (%s)", path, cgroup.decision, why, extra=fields(**values))


class SizeWarning:
    """Warns when there are very many cgroups, and says whose they are; again at each doubling."""

    def __init__(self) -> None:
        self._next = MANY

    def check(self, tree: Tree) -> None:
        """Warn if there are too many by now."""
        if tree.size < MANY // 2:
            self._next = MANY
        if tree.size < self._next:
            return
        self._next = 2 * tree.size
        cgroup, below = _most(tree)
        path = os.fsdecode(cgroup.path)
        log.warning(
            "%d cgroups, %d of them below %s", tree.size, below, path, extra=fields(CGROUP=path)
        )


def _most(tree: Tree) -> tuple[Cgroup, int]:
    """The deepest cgroup with more than half of all below it, and how many those are.

    Only those with children are visited, for meanwhile nobody gets a decision.
    """
    inner = [tree.root]
    for cgroup in inner:  # which grows meanwhile
        inner += [child for child in cgroup.children.values() if child.children]
    below: Counter[int] = Counter()
    found, count = tree.root, tree.size - 1
    for cgroup in reversed(inner):  # children first
        below[id(cgroup)] += len(cgroup.children)
        below[id(cgroup.parent)] += below[id(cgroup)]
        if 2 * below[id(cgroup)] > tree.size and below[id(cgroup)] < count:
            found, count = cgroup, below[id(cgroup)]
    return found, count
