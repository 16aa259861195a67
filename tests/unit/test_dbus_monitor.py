"""The monitor's tree beside a scripted systemd and real directories: what is there, stat says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cgtproxy.cgroup.dbus import managers
from cgtproxy.cgroup.dbus.monitor import DbusMonitor
from cgtproxy.cgroup.mount import Root
from cgtproxy.cgroup.tree import Unit
from cgtproxy.config.model import DIRECT, Decision
from unit.scripted_manager import Server

TIMEOUT = 20.0
UID = os.geteuid()
USER_MANAGER = f"/u.slice/user@{UID}.service"


class Follow:
    def decide(self, path: bytes, inherited: Decision) -> tuple[int | None, Decision]:
        return None, DIRECT


class World:
    """A systemd and a user's manager, and the directories that they make."""

    def __init__(self, directory: Path) -> None:
        (directory / "cgroup").mkdir()
        self.root = directory / "cgroup"
        self.system = Server(directory / "bus", bus=True)
        self.user = Server(directory / f"private-{UID}", bus=False)
        self._monitor: DbusMonitor | None = None

    @property
    def monitor(self) -> DbusMonitor:
        if self._monitor is None:
            self._monitor = DbusMonitor(Root(os.fsencode(self.root), 0), Follow())
        return self._monitor

    @property
    def known(self) -> dict[str, int]:
        """Paths and ids; the root is left out."""
        return {c.path.decode(): c.id for c in self.monitor.tree.root.walk() if c.parent}

    @property
    def there(self) -> dict[str, int]:
        found = {str(p): p.stat().st_ino for p in self.root.rglob("*") if p.is_dir()}
        return {path.removeprefix(str(self.root)): number for path, number in found.items()}

    def make(self, path: str) -> Path:
        directory = self.root / path.strip("/")
        directory.mkdir(parents=True)
        return directory

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end, (self.known, self.there)
            self.monitor._loop.turn(0.1)

    def close(self) -> None:
        if self._monitor:
            self._monitor.close()
        self.system.close()
        self.user.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(managers, "SYSTEM_BUS", str(tmp_path / "bus"))
    monkeypatch.setattr(managers, "PRIVATE", str(tmp_path / "private-{}"))
    made = World(tmp_path)
    yield made
    made.close()


def test_what_is_there_at_the_start(world: World) -> None:
    for server, unit, path in (
        (world.system, "a.service", "/s.slice/a.service"),
        (world.system, f"user@{UID}.service", USER_MANAGER),
        (world.user, "b.scope", f"{USER_MANAGER}/app.slice/b.scope"),
    ):
        world.make(path)
        server.live(unit, path)
    world.make("/unknown")
    assert world.known == {path: n for path, n in world.there.items() if path != "/unknown"}
    assert world.monitor.fault is None
    cgroup = world.monitor.tree.find(b"/s.slice/a.service")
    assert cgroup
    assert cgroup.unit == Unit("a.service", "active")


def test_a_path_comes_before_its_directory(world: World) -> None:
    assert not world.known
    world.system.live("a.service", "/s.slice/a.service")
    world.until(lambda: bool(world.monitor._awaited))
    world.make("/s.slice/a.service")
    world.until(lambda: world.known == world.there)


def test_a_directory_that_never_comes_is_not_awaited_for_ever(world: World) -> None:
    assert not world.known
    world.system.live("a.service", "/a.service")
    world.until(lambda: bool(world.monitor._awaited))
    world.until(lambda: not world.monitor._awaited)


def test_a_unit_moves_to_another_cgroup_of_the_same_path(world: World) -> None:
    directory = world.make("/a.service")
    world.system.live("a.service", "/a.service")
    assert world.known == world.there
    directory.rename(world.root / "old")  # so that its number is not used again
    world.make("/a.service")
    world.system.tell("a.service", "active")
    world.until(lambda: world.known == {"/a.service": world.there["/a.service"]})


def test_a_directory_that_goes_after_the_unit_has_ended(world: World) -> None:
    directory = world.make("/s.slice/a.service")
    world.system.live("a.service", "/s.slice/a.service")
    assert world.known
    world.system.tell("a.service", "failed")
    node = world.monitor.tree.find(b"/s.slice/a.service")
    assert node
    world.until(lambda: node.unit == Unit("a.service", "failed"))
    assert world.known == world.there
    directory.rmdir()
    directory.parent.rmdir()
    world.until(lambda: not world.known)


def test_a_unit_elsewhere_after_its_slice_changed(world: World) -> None:
    world.make("/a.slice/a.service").rmdir()
    world.system.live("a.service", "/a.slice/a.service")
    world.make("/b.slice/a.service")
    world.system.live("a.service", "/b.slice/a.service")
    world.until(lambda: "/b.slice/a.service" in world.known)


def test_a_user_can_only_tell_what_is_his(world: World) -> None:
    for path in (USER_MANAGER, "/s.slice/a.service"):
        world.make(path)
    (world.root / USER_MANAGER[1:] / "file").touch()
    lies = ["/s.slice/a.service", f"{USER_MANAGER}/../../s.slice", f"{USER_MANAGER}/file", "/"]
    for number, path in enumerate(lies):
        world.user.live(f"lie-{number}.service", path)
    world.system.live(f"user@{UID}.service", USER_MANAGER)
    assert world.known.keys() == {"/u.slice", USER_MANAGER}


def test_a_user_who_logs_out_is_not_heard_any_more(world: World) -> None:
    directory = world.make(f"{USER_MANAGER}/a.service")
    world.user.live("a.service", f"{USER_MANAGER}/a.service")
    world.system.live(f"user@{UID}.service", USER_MANAGER)
    assert world.known == world.there
    link = world.monitor._managers._users[UID]
    world.system.tell(f"user@{UID}.service", "inactive")
    world.until(lambda: link._socket is None)
    directory.rmdir()
    directory.parent.rmdir()
    world.until(lambda: world.known == world.there)


def test_a_root_that_is_not_systemds(world: World) -> None:
    """cgroup-root may be anywhere in the hierarchy."""
    for path in ("/a.slice/b.slice/c.service", "/a.slice/d.service", "/e.service"):
        world.make(path)
        world.system.live(path.rpartition("/")[2], path)
    root = Root(os.fsencode(world.root / "a.slice"), 1, b"/a.slice")
    monitor = DbusMonitor(root, Follow())
    found = {(cgroup.path, cgroup.level) for cgroup in monitor.tree.root.walk()}
    monitor.close()
    below = {(b"/b.slice", 2), (b"/b.slice/c.service", 3), (b"/d.service", 2)}
    assert found == {(b"/", 1)} | below


def test_a_directory_that_may_not_be_entered_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make("/a.service")
    world.system.live("a.service", "/a.service")
    known = world.known
    assert known

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", denied)
        world.monitor.resync()
    assert world.known == known
