"""Names that survive restarts, crashes and damage."""

from __future__ import annotations

import logging
import os
import re
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip import store as module
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slots import Slots
from cgtproxy.proxy.fakeip.store import FILE, Store, state_directory
from unit import fakeip_writer
from unit.fakeip_pools import LONG, Clock, slots_of, small


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written unless a test says so."""
    monkeypatch.setattr(module, "PAUSE", 1e6)


@contextmanager
def running(directory: Path, *slots: Slots) -> Iterator[tuple[Store, Pool]]:
    """The first of the slots' pools."""
    store = Store(directory)
    pools = [store.pool(each) for each in slots]
    store.start()
    yield store, pools[0]
    store.close()


def after_kill(directory: Path) -> Path:
    """What a kill of all processes at this moment would leave."""
    copy = directory.with_name(f"{directory.name}-later")
    shutil.copytree(directory, copy)
    return copy


def give(pool: Pool, clock: Clock, *names: str) -> list[int | None]:
    def one(name: str) -> int | None:
        clock.time += 1
        return pool.place_of(name)

    return [one(name) for name in names]


def numbers(*bounds: int) -> list[str]:
    return [str(number) for number in range(*bounds)]


def test_names_survive_a_restart_and_so_does_their_order(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        assert give(pool, clock, *numbers(1, 11)) == list(range(1, 11))
        give(pool, clock, "2", "1")
    clock.time = 7.5  # another start of the computer
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        assert [pool.name(place) for place in range(1, 11)] == numbers(1, 11)
        assert give(pool, clock, "5", "4") == [5, 4]
    clock.time = 3.5
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        assert give(pool, clock, *"abcd") == [11, 12, 13, 14]
        assert pool.place_of("in use all") is None
        clock.time += LONG
        expected = [3, 6, 7, 8, 9, 10, 2, 1, 5, 4, 11]
        assert give(pool, clock, *(f"new {n}" for n in range(11))) == expected


def test_workers_touches_are_written(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 15))
        store.flush()
        clock.time += module.COARSE
        pool.slots.touch(1)
        store.flush()
        killed = after_kill(tmp_path)
    with running(killed, slots_of(4, clock)) as (_, pool):
        # The second was next in line, and so may have got another name before the end.
        assert [pool.name(place) for place in (1, 2, 3)] == ["1", "", "3"]
        clock.time += LONG
        assert give(pool, clock, *(f"new {n}" for n in range(14))) == [*range(3, 15), 1, 2]


def test_written_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        pool.place_of("a.example")
        while b"a.example" not in (tmp_path / f"{FILE}-wal").read_bytes():
            pass
        killed = after_kill(tmp_path)
    with running(killed, slots_of(4, clock)) as (_, pool):
        assert pool.name(1) == "a.example"


def test_nothing_is_written_when_nothing_has_changed(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 11))
        store.flush()
        before = (tmp_path / f"{FILE}-wal").read_bytes()
        give(pool, clock, *numbers(1, 11))
        store.flush()
        assert (tmp_path / f"{FILE}-wal").read_bytes() == before


def test_a_new_place_lost_in_a_crash_gets_no_other_name(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(5, clock)) as (store, pool):
        give(pool, clock, "kept")
        store.flush()
        assert give(pool, clock, "lost") == [2]
        killed = after_kill(tmp_path)
    for _ in range(2):  # it may be killed again and again
        with running(killed, slots_of(5, clock)) as (_, pool):
            assert (pool.name(1), pool.name(2)) == ("kept", "")
            places = give(pool, clock, "lost", *numbers(24))
            assert 2 not in places
            assert 1 not in places
            again = after_kill(killed)
        killed = again
    with running(killed, slots_of(5, clock)) as (_, pool):
        clock.time += LONG
        assert 2 in give(pool, clock, *(f"new {n}" for n in range(30)))


def test_a_place_given_again_and_lost_in_a_crash_has_not_its_old_name(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 15))
        clock.time += LONG
        store.flush()
        assert give(pool, clock, "lost") == [1]
        killed = after_kill(tmp_path)
    with running(killed, slots_of(4, clock)) as (_, pool):
        assert [pool.name(place) for place in (1, 3, 14)] == ["", "3", "14"]
        assert pool.place_of("lost") is None
        clock.time += LONG
        assert pool.place_of("lost") == 3


def test_a_resolver_that_did_not_get_to_start_forgets_nothing(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        give(pool, clock, "lost")
        killed = after_kill(tmp_path)
    store = Store(killed)
    assert store.pool(slots_of(4, clock)).name(1) == ""
    store.close()
    with running(killed, slots_of(4, clock)) as (_, pool):
        assert give(pool, clock, "new") != [1]


def test_a_crashed_resolver_s_successor_writes_what_was_lost(tmp_path: Path) -> None:
    clock = Clock()
    slots = slots_of(4, clock)
    with running(tmp_path, slots) as (store, pool):
        give(pool, clock, "kept")
        store.flush()
        give(pool, clock, "not written")
        killed = after_kill(tmp_path)
    with running(killed, slots) as (_, pool):
        assert [pool.name(1), pool.name(2)] == ["kept", "not written"]
        assert give(pool, clock, "new") == [3]
        killed = after_kill(killed)
    with running(killed, slots_of(4, clock)) as (_, pool):
        assert [pool.name(1), pool.name(2)] == ["kept", "not written"]


def test_several_pools_in_one_file(tmp_path: Path) -> None:
    clock = Clock()

    def both() -> tuple[Slots, Slots]:
        return slots_of(4, clock), Slots(Ranges(small(4, "10.7.7.0")), clock)

    first, second = both()
    with running(tmp_path, first, second) as (store, pool):
        pool.place_of("first")
        other = Store(tmp_path / "unused").pool(second)
        other.place_of("second")
        store.flush()
    first, second = both()
    with running(tmp_path, second, first):
        assert (first.name(1), second.name(1)) == ("first", "second")


@pytest.mark.parametrize("lost", ["", "crash"])
def test_a_pool_that_shrinks_and_grows(tmp_path: Path, lost: str) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(5, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 25))  # so that places beyond are next in line
        store.flush()
        directory = after_kill(tmp_path) if lost else tmp_path
    with running(directory, slots_of(4, clock)) as (_, pool):
        assert [pool.name(place) for place in range(15)] == ["", *numbers(1, 15)]
        assert pool.place_of("20") is None
    with running(directory, slots_of(5, clock)) as (_, pool):
        assert [pool.name(place) for place in range(14, 17)] == ["14", "", ""]
        assert give(pool, clock, "20") == [15]


def test_other_networks_have_other_names(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        give(pool, clock, "a.example")
    with running(tmp_path, Slots(Ranges(small(4, "10.7.7.0")), clock)) as (_, pool):
        assert pool.name(1) == ""
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        assert pool.name(1) == "a.example"


def garbage(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def overwritten(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\x5a" * 4096)


def nonsense(statement: str) -> Callable[[Path], None]:
    """What no checksum tells."""

    def write(file: Path) -> None:
        db = sqlite3.connect(file)
        db.execute("PRAGMA ignore_check_constraints = ON")
        with db:
            db.execute(statement)
        db.close()

    return write


@pytest.mark.parametrize(
    "damage",
    [
        garbage,
        cut_off,
        overwritten,
        nonsense("UPDATE names SET name = 'bücher' WHERE place = 7"),
        nonsense("UPDATE names SET name = hex(zeroblob(127)) WHERE place = 7"),
        nonsense("UPDATE names SET used = 'then' WHERE place = 7"),
        nonsense("UPDATE names SET used = 1 << 62 WHERE place = 7"),
        nonsense("UPDATE names SET used = -1 WHERE place = 7"),
        nonsense("UPDATE names SET place = 'here' WHERE place = 7"),
        nonsense("UPDATE names SET place = -3 WHERE place = 7"),
        nonsense("UPDATE pools SET waiting = x'010203'"),
    ],
)
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(9, clock)) as (_, pool):
        give(pool, clock, *(f"{number}.some.example.org" for number in range(400)))
    damage(tmp_path / FILE)
    damaged = (tmp_path / FILE).read_bytes()
    with running(tmp_path, slots_of(9, clock)) as (_, pool):
        assert [pool.name(place) for place in range(511)] == [""] * 511
        assert give(pool, clock, "new") == [1]
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == damaged
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is damaged" in caplog.text
    with running(tmp_path, slots_of(9, clock)) as (_, pool):
        assert pool.name(1) == "new"


def test_nowhere_to_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file"
    file.touch()
    clock = Clock()
    for directory in (file, Path("/proc/nowhere")):
        caplog.clear()
        with running(directory, slots_of(4, clock)) as (_, pool):
            assert give(pool, clock, *numbers(1, 15)) == list(range(1, 15))
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert re.search("names will not survive a restart, for .* cannot be used", caplog.text)


def test_another_instance_has_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        give(pool, clock, "first")
        with running(tmp_path, slots_of(4, clock)) as (_, other):
            give(other, clock, "second")
        assert "names will not survive a restart" in caplog.text
        assert "locked" in caplog.text
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        assert pool.name(1) == "first"


def test_what_cannot_be_written_is_told_once_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(tmp_path, slots_of(9, clock)) as (store, pool):
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / f"{FILE}-wal").stat().st_size, hard))
        for number in range(3):
            give(pool, clock, f"{number}.example")
            store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caplog.text.count("names cannot be written") == len(caplog.records) == 1
        store.flush()
        killed = after_kill(tmp_path)
    with running(killed, slots_of(9, clock)) as (_, pool):
        assert [pool.name(place) for place in (1, 2, 3)] == ["0.example", "1.example", "2.example"]


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
        with running(directory, slots_of(4, Clock())):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600}


def test_the_largest_pool(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, Slots(Ranges(FakePool()), clock)) as (store, pool):
        for number in range(1, pool.ranges.size):
            pool.place_of(f"host-{number}.example.org")
        store.flush()
        clock.time += LONG
        assert give(pool, clock, "new") == [1]
    with running(tmp_path, Slots(Ranges(FakePool()), clock)) as (_, pool):
        assert (tmp_path / f"{FILE}-wal").stat().st_size < 100_000  # not all is written again
        assert pool.place_of("new") == 1
        assert pool.place_of("host-131070.example.org") == 131070
        clock.time += LONG
        assert pool.place_of("newer") == 2


@pytest.mark.parametrize("answers", [1, 300, 1234, 2500, 3500])
def test_a_writer_killed_at_any_moment(tmp_path: Path, answers: int) -> None:
    given = dict(killed_after(answers, tmp_path))
    if max(given) > FULL:  # then those before it may have lost their places
        given = {number: place for number, place in given.items() if number > FULL}
    with running(tmp_path, slots_of(fakeip_writer.BITS, Clock())) as (_, pool):
        found = {number: pool.name(place) for number, place in given.items()}
        lost = [number for number, name in found.items() if name != f"name-{number}"]
        assert [found[number] for number in lost] == [""] * len(lost)
        assert len(lost) <= pool.ranges.size // 8 + 1
        taken = {pool.place_of(f"other {n}") for n in range(FULL)}
        assert not taken & set(given.values())


FULL = (1 << fakeip_writer.BITS) - 2


def killed_after(answers: int, directory: Path) -> Iterator[tuple[int, int]]:
    """What the writer says before it is killed while it writes: number of a name, its place.

    It is not asked for more than it promises to keep: as many as wait in its pool. When all
    places have names, time passes, so that they get others.
    """
    program = [sys.executable, "-m", "unit.fakeip_writer", str(directory)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(program, stdin=-1, stdout=-1, text=True, bufsize=1, env=env) as writer:
        assert writer.stdin
        assert writer.stdout
        asked = said = 0
        for line in writer.stdout:
            what, number = line.split()
            if what == "written" and said < answers:
                for each in range(asked, int(number) + 200):
                    writer.stdin.write("+400\n" if each == FULL else f"name-{each}\n")
                asked = max(asked, int(number) + 200)
            elif what != "written":
                yield int(what.removeprefix("name-")), int(number)
                said += 1
                if said == answers:
                    writer.kill()


def test_a_full_pool_has_room_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        give(pool, clock, *numbers(1, 15))
        clock.time += LONG + 2  # as times are in whole seconds
        pool.place_of("1")
    with running(tmp_path, slots_of(4, clock)) as (_, pool):
        assert [pool.place_of(f"new {n}") for n in range(14)] == [*range(2, 15), None]


def test_a_full_pool_has_none_soon_after_a_crash(tmp_path: Path) -> None:
    """Its times are too old then, also for the run after the next one."""
    clock = Clock()
    with running(tmp_path, slots_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 15))
        store.flush()
        clock.time += LONG
        killed = after_kill(tmp_path)
    for _ in range(2):
        with running(killed, slots_of(4, clock)) as (_, pool):
            assert pool.place_of("new") is None
        clock.time += 1
    with running(killed, slots_of(4, clock)) as (_, pool):
        clock.time += LONG
        assert pool.place_of("new")
    with running(killed, slots_of(4, clock)) as (_, pool):
        assert pool.place_of("newer")
