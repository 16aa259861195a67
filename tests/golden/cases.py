"""Golden cases: what a configuration makes of some cgroups, as `cgtproxy rules` prints it.

Each directory here is one: `config.yaml`, `cgroups.txt` (one path a line, parents first) and the
ruleset that they make, `ruleset.nft`. After a change that is meant:

    REGENERATE_GOLDEN=1 pytest tests/unit/test_golden.py

then read the difference before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.commands.rules import ruleset
from cgtproxy.config.model import Config
from cgtproxy.config.source import load
from cgtproxy.nft.plan import Plan
from cgtproxy.policy import Policy

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    directory: Path

    @property
    def config(self) -> Config:
        return load(str(self.directory / "config.yaml")).config

    @property
    def cgroups(self) -> list[bytes]:
        return (self.directory / "cgroups.txt").read_bytes().splitlines()

    @property
    def ruleset(self) -> Path:
        return self.directory / "ruleset.nft"

    def tree(self, identify: Callable[[bytes], int] | None = None) -> Tree:
        """The cgroups, decided on; `identify` tells their ids, which are counted otherwise."""
        number = {path: index for index, path in enumerate([b"/", *self.cgroups], 1)}
        identify = identify or number.__getitem__
        tree = Tree(Policy(self.config.rules), identify(b"/"))
        known: dict[bytes, Cgroup] = {b"": tree.root}
        for path in self.cgroups:
            parent, _, name = path.rpartition(b"/")
            known[path] = tree.appear(known[parent], name, identify(path))
        return tree

    def text(self) -> str:
        return ruleset(self.tree(), Plan(self.config), nameable=True)


CASES = [Case(path.parent) for path in sorted(HERE.glob("*/config.yaml"))]
NAMES = [case.directory.name for case in CASES]
