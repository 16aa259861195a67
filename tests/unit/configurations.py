"""Random configurations and cgroup trees whose decisions are given, not matched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.config.model import DIRECT, DROP, Config, Target
from config.documents import documents


class Decided:
    """A policy that knows each cgroup's target by its path; others follow their parent."""

    def __init__(self, targets: Mapping[bytes, Target]) -> None:
        self.targets = targets

    def decide(self, path: bytes, inherited: Target) -> tuple[int | None, Target]:
        return (0, self.targets[path]) if path in self.targets else (None, inherited)


def configurations() -> st.SearchStrategy[Config]:
    return documents().map(lambda pair: pair[1])


def targets(config: Config) -> list[Target]:
    return [DIRECT, DROP, *(Target("tproxy", tproxy.name) for tproxy in config.tproxies)]


@st.composite
def trees(draw: st.DrawFn, config: Config, least: int = 1) -> Tree:
    """A tree of at least `least` cgroups, with any decisions that the configuration has."""
    parents = draw(st.lists(st.integers(0, 11), min_size=least - 1, max_size=11))
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
