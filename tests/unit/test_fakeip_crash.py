"""Names after a crash: what was written is kept, and what was lost is not given to others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgtproxy.proxy.fakeip import store as module
from cgtproxy.proxy.fakeip.store import FILE, Store
from unit import fakeip_writer
from unit.fakeip_pools import LONG, Clock, table_of
from unit.fakeip_stores import after_kill, give, numbers, running

pytestmark = pytest.mark.usefixtures("written_by_hand")


def test_workers_touches_are_written(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 15))
        store.flush()
        clock.time += module.COARSE
        pool.table.touch(1)
        store.flush()
        killed = after_kill(tmp_path)
    with running(killed, table_of(4, clock)) as (_, pool):
        # The second was next in line, and so may have got another name before the end.
        assert [pool.name(slot) for slot in (1, 2, 3)] == ["1", "", "3"]
        clock.time += LONG
        assert give(pool, clock, *(f"new {n}" for n in range(14))) == [*range(3, 15), 1, 2]


def test_written_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        pool.slot_for("a.example")
        while b"a.example" not in (tmp_path / f"{FILE}-wal").read_bytes():
            pass
        killed = after_kill(tmp_path)
    with running(killed, table_of(4, clock)) as (_, pool):
        assert pool.name(1) == "a.example"


def test_a_new_place_lost_in_a_crash_gets_no_other_name(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(5, clock)) as (store, pool):
        give(pool, clock, "kept")
        store.flush()
        assert give(pool, clock, "lost") == [2]
        killed = after_kill(tmp_path)
    for _ in range(2):  # it may be killed again and again
        with running(killed, table_of(5, clock)) as (_, pool):
            assert (pool.name(1), pool.name(2)) == ("kept", "")
            slots = give(pool, clock, "lost", *numbers(24))
            assert 2 not in slots
            assert 1 not in slots
            again = after_kill(killed)
        killed = again
    with running(killed, table_of(5, clock)) as (_, pool):
        clock.time += LONG
        assert 2 in give(pool, clock, *(f"new {n}" for n in range(30)))


def test_a_place_given_again_and_lost_in_a_crash_has_not_its_old_name(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 15))
        clock.time += LONG
        store.flush()
        assert give(pool, clock, "lost") == [1]
        killed = after_kill(tmp_path)
    with running(killed, table_of(4, clock)) as (_, pool):
        assert [pool.name(slot) for slot in (1, 3, 14)] == ["", "3", "14"]
        assert pool.slot_for("lost") is None
        clock.time += LONG
        assert pool.slot_for("lost") == 3


def test_a_resolver_that_did_not_get_to_start_forgets_nothing(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        give(pool, clock, "lost")
        killed = after_kill(tmp_path)
    store = Store(killed)
    assert store.pool(table_of(4, clock)).name(1) == ""
    store.close()
    with running(killed, table_of(4, clock)) as (_, pool):
        assert give(pool, clock, "new") != [1]


def test_a_crashed_resolver_s_successor_writes_what_was_lost(tmp_path: Path) -> None:
    clock = Clock()
    table = table_of(4, clock)
    with running(tmp_path, table) as (store, pool):
        give(pool, clock, "kept")
        store.flush()
        give(pool, clock, "not written")
        killed = after_kill(tmp_path)
    with running(killed, table) as (_, pool):
        assert [pool.name(1), pool.name(2)] == ["kept", "not written"]
        assert give(pool, clock, "new") == [3]
        killed = after_kill(killed)
    with running(killed, table_of(4, clock)) as (_, pool):
        assert [pool.name(1), pool.name(2)] == ["kept", "not written"]


def test_a_full_pool_has_none_soon_after_a_crash(tmp_path: Path) -> None:
    """Its times are too old then, also for the run after the next one."""
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (store, pool):
        give(pool, clock, *numbers(1, 15))
        store.flush()
        clock.time += LONG
        killed = after_kill(tmp_path)
    for _ in range(2):
        with running(killed, table_of(4, clock)) as (_, pool):
            assert pool.slot_for("new") is None
        clock.time += 1
    with running(killed, table_of(4, clock)) as (_, pool):
        clock.time += LONG
        assert pool.slot_for("new")
    with running(killed, table_of(4, clock)) as (_, pool):
        assert pool.slot_for("newer")


@pytest.mark.parametrize("answers", [1, 300, 1234, 2500, 3500])
def test_a_writer_killed_at_any_moment(tmp_path: Path, answers: int) -> None:
    given = dict(killed_after(answers, tmp_path))
    if max(given) > FULL:  # then those before it may have lost their slots
        given = {number: slot for number, slot in given.items() if number > FULL}
    with running(tmp_path, table_of(fakeip_writer.BITS, Clock())) as (_, pool):
        found = {number: pool.name(slot) for number, slot in given.items()}
        lost = [number for number, name in found.items() if name != f"name-{number}"]
        assert [found[number] for number in lost] == [""] * len(lost)
        assert len(lost) <= pool.ranges.size // 8 + 1
        taken = {pool.slot_for(f"other {n}") for n in range(FULL)}
        assert not taken & set(given.values())


FULL = (1 << fakeip_writer.BITS) - 2


def killed_after(answers: int, directory: Path) -> Iterator[tuple[int, int]]:
    """What the writer says before it is killed while it writes: number of a name, its slot.

    It is not asked for more than it promises to keep: as many as wait in its pool. When all
    slots have names, time passes, so that they get others.
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
