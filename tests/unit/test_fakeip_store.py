"""Names that survive restarts: in one file, for pools of all sizes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.fakeip.store import FILE, Store, state_directory
from unit.fakeip_pools import LONG, Clock, small, table_of
from unit.fakeip_stores import after_kill, give, numbers, running

pytestmark = pytest.mark.usefixtures("written_by_hand")


def test_names_survive_a_restart_and_so_does_their_order(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        assert give(pool, clock, *numbers(1, 11)) == list(range(1, 11))
        give(pool, clock, "2", "1")
    clock.time = 7.5  # another start of the computer
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        assert [pool.name(slot) for slot in range(1, 11)] == numbers(1, 11)
        assert give(pool, clock, "5", "4") == [5, 4]
    clock.time = 3.5
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        assert give(pool, clock, *"abcd") == [11, 12, 13, 14]
        assert pool.slot_for("in use all") is None
        clock.time += LONG
        expected = [3, 6, 7, 8, 9, 10, 2, 1, 5, 4, 11]
        assert give(pool, clock, *(f"new {n}" for n in range(11))) == expected


def test_a_full_pool_has_room_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        give(pool, clock, *numbers(1, 15))
        clock.time += LONG + 2  # as times are in whole seconds
        pool.slot_for("1")
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        assert [pool.slot_for(f"new {n}") for n in range(14)] == [*range(2, 15), None]


def test_nothing_is_written_when_nothing_has_changed(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 11))
        store.flush()
        before = (tmp_path / f"{FILE}-wal").read_bytes()
        give(pool, clock, *numbers(1, 11))
        store.flush()
        assert (tmp_path / f"{FILE}-wal").read_bytes() == before


def test_several_pools_in_one_file(tmp_path: Path) -> None:
    clock = Clock()

    def both() -> tuple[SlotTable, SlotTable]:
        return table_of(4, clock), SlotTable(Ranges(small(4, "10.7.7.0")), clock)

    first, second = both()
    with running(tmp_path, first, second) as (store, pool):
        pool.slot_for("first")
        other = Store(tmp_path / "unused").pool(second)
        other.slot_for("second")
        store.flush()
    first, second = both()
    with running(tmp_path, second, first):
        assert (first.name(1), second.name(1)) == ("first", "second")


@pytest.mark.parametrize("lost", ["", "crash"])
def test_a_pool_that_shrinks_and_grows(tmp_path: Path, lost: str) -> None:
    clock = Clock()
    with running(tmp_path, table_of(5, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 25))  # so that slots beyond are next in line
        store.flush()
        directory = after_kill(tmp_path) if lost else tmp_path
    with running(directory, table_of(4, clock)) as (_, pool):
        assert [pool.name(slot) for slot in range(15)] == ["", *numbers(1, 15)]
        assert pool.slot_for("20") is None
    with running(directory, table_of(5, clock)) as (_, pool):
        assert [pool.name(slot) for slot in range(14, 17)] == ["14", "", ""]
        assert give(pool, clock, "20") == [15]


def test_other_networks_have_other_names(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        give(pool, clock, "a.example")
    with running(tmp_path, SlotTable(Ranges(small(4, "10.7.7.0")), clock)) as (_, pool):
        assert pool.name(1) == ""
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        assert pool.name(1) == "a.example"


def test_the_largest_pool(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, SlotTable(Ranges(FakePool()), clock)) as (store, pool):
        for number in range(1, pool.ranges.size):
            pool.slot_for(f"host-{number}.example.org")
        store.flush()
        clock.time += LONG
        assert give(pool, clock, "new") == [1]
    with running(tmp_path, SlotTable(Ranges(FakePool()), clock)) as (_, pool):
        assert (tmp_path / f"{FILE}-wal").stat().st_size < 100_000  # not all is written again
        assert pool.slot_for("new") == 1
        assert pool.slot_for("host-131070.example.org") == 131070
        clock.time += LONG
        assert pool.slot_for("newer") == 2


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, path in (
        ("", "/var/lib/cgtproxy"),
        ("/var/lib/one", "/var/lib/one"),
        ("/var/lib/one:/var/lib/two", "/var/lib/one"),
    ):
        monkeypatch.setenv("STATE_DIRECTORY", value)
        assert state_directory() == Path(path)
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state_directory() == Path("/var/lib/cgtproxy")


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    old = os.umask(0)
    try:
        with running(directory, table_of(4, Clock())):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600}
