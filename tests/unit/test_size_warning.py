"""The warning about very many cgroups, which names whose they are."""

from __future__ import annotations

import logging

import pytest

from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.engine.report import MANY, SizeWarning
from cgtproxy.policy import Policy


@pytest.fixture
def tree() -> Tree:
    return Tree(Policy([]), 1)


def grow(tree: Tree, parent: Cgroup, count: int) -> None:
    for _ in range(count):
        tree.appear(parent, b"%d" % tree.size, 1 + tree.size)


def test_it_names_the_deepest_that_has_most(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    user = tree.appear(tree.appear(tree.root, b"user.slice", 2), b"user-1000.slice", 3)
    flood = tree.appear(user, b"evil.service", 4)
    others = tree.appear(tree.root, b"system.slice", 5)
    grow(tree, others, 100)
    grow(tree, user, 50)
    grow(tree, flood, MANY)
    with caplog.at_level(logging.WARNING, "cgtproxy"):
        SizeWarning().check(tree)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        " 10000 of them below /user.slice/user-1000.slice/evil.service"
    )


def test_where_nobody_has_most_it_names_the_root(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (b"a", b"b", b"c"):
        grow(tree, tree.appear(tree.root, name, 1 + tree.size), MANY // 3 + 1)
    with caplog.at_level(logging.WARNING, "cgtproxy"):
        SizeWarning().check(tree)
    assert caplog.records[0].getMessage().endswith(" below /")


def test_it_tells_again_at_each_doubling_and_after_it_was_over(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    warning, flood = SizeWarning(), tree.appear(tree.root, b"flood", 2)

    def told(count: int) -> int:
        grow(tree, flood, count)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "cgtproxy"):
            warning.check(tree)
        return len(caplog.records)

    assert [told(MANY - 3), told(1), told(MANY - 1), told(1), told(1)] == [0, 1, 0, 1, 0]
    tree.vanish(flood)
    flood = tree.appear(tree.root, b"flood", 2)
    assert [told(0), told(MANY)] == [0, 1]
