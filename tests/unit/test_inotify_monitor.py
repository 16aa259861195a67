"""The monitor's tree beside real directories that change while it looks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cgtproxy.cgroup.inotify import Inotify
from cgtproxy.cgroup.inotify_monitor import InotifyMonitor
from cgtproxy.cgroup.mount import Root
from cgtproxy.policy import Policy


class World:
    """Directories, and the monitor that watches them."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "cgroup"
        self.root.mkdir()
        self.attic = directory / "attic"  # so that no inode number is used again
        self.attic.mkdir()
        self.monitor = InotifyMonitor(Root(os.fsencode(self.root), 0), Policy([]))

    def make(self, path: str) -> None:
        (self.root / path).mkdir()

    def remove(self, path: str) -> None:
        (self.root / path).rename(self.attic / str(len(list(self.attic.iterdir()))))

    def replace(self, path: str) -> None:
        self.remove(path)
        self.make(path)

    @property
    def known(self) -> dict[str, int]:
        """Paths and ids; the root is left out."""
        return {c.path.decode(): c.id for c in self.monitor.tree.root.walk() if c.parent}

    @property
    def there(self) -> dict[str, int]:
        found = {str(p): p.stat().st_ino for p in self.root.rglob("*")}
        return {path.removeprefix(str(self.root)): number for path, number in found.items()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.monitor.close()


@pytest.fixture
def after_next_watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Has something happen between the beginning of a watch and what comes after it."""
    pending: list[Callable[[], None]] = []
    add = Inotify.add

    def add_and_run(self: Inotify, path: bytes, mask: int) -> int:
        watch = add(self, path, mask)
        while pending:
            pending.pop()()
        return watch

    monkeypatch.setattr(Inotify, "add", add_and_run)
    return pending.append


def test_what_comes_and_goes(world: World) -> None:
    world.make("a")
    world.make("a/b")
    world.monitor.read()
    world.make("a/b/c")
    world.monitor.read()
    assert world.known == world.there
    (world.root / "a/b/c").rmdir()
    world.monitor.read()
    assert world.known == world.there


def test_one_that_is_replaced_while_its_watch_begins(
    world: World, after_next_watch: Callable[[Callable[[], None]], None]
) -> None:
    world.make("a")
    after_next_watch(lambda: world.replace("a"))
    world.monitor.read()
    world.monitor.read()  # the replacement's own event
    assert world.known == world.there
    world.make("a/b")
    world.monitor.read()
    assert world.known == world.there


def test_one_that_is_replaced_during_a_resync(
    world: World, after_next_watch: Callable[[Callable[[], None]], None]
) -> None:
    world.make("a")
    world.monitor.read()
    after_next_watch(lambda: world.replace("a"))
    world.monitor.resync()
    world.monitor.read()
    assert world.known == world.there
    world.make("a/b")
    world.monitor.read()
    assert world.known == world.there


def test_one_that_is_gone_when_its_watch_has_begun(
    world: World, after_next_watch: Callable[[Callable[[], None]], None]
) -> None:
    world.make("a")
    after_next_watch(lambda: world.remove("a"))
    world.monitor.read()
    assert world.known == {}


def test_no_watch_is_left_of_what_is_gone(
    world: World, after_next_watch: Callable[[Callable[[], None]], None]
) -> None:
    world.make("a")
    after_next_watch(lambda: world.replace("a"))
    for _ in range(3):
        world.monitor.read()
    watched = Path(f"/proc/self/fdinfo/{world.monitor.fileno()}").read_text().count("inotify wd")
    assert watched == 2  # the root and a
