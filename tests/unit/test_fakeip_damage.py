"""A file of names that is damaged, taken, full or nowhere: the names are still given."""

from __future__ import annotations

import logging
import os
import re
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cgtproxy.proxy.fakeip.store import FILE
from unit.fakeip_pools import Clock, table_of
from unit.fakeip_stores import after_kill, give, numbers, running

pytestmark = pytest.mark.usefixtures("written_by_hand")


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
    with running(tmp_path, table_of(9, clock)) as (_, pool):
        give(pool, clock, *(f"{number}.some.example.org" for number in range(400)))
    damage(tmp_path / FILE)
    damaged = (tmp_path / FILE).read_bytes()
    with running(tmp_path, table_of(9, clock)) as (_, pool):
        assert [pool.name(slot) for slot in range(511)] == [""] * 511
        assert give(pool, clock, "new") == [1]
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == damaged
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is damaged" in caplog.text
    with running(tmp_path, table_of(9, clock)) as (_, pool):
        assert pool.name(1) == "new"


def test_nowhere_to_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file"
    file.touch()
    clock = Clock()
    for directory in (file, Path("/proc/nowhere")):
        caplog.clear()
        with running(directory, table_of(4, clock)) as (_, pool):
            assert give(pool, clock, *numbers(1, 15)) == list(range(1, 15))
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert re.search("names will not survive a restart, cannot use .*: ", caplog.text)


def test_another_instance_has_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        give(pool, clock, "first")
        with running(tmp_path, table_of(4, clock)) as (_, other):
            give(other, clock, "second")
        assert "names will not survive a restart" in caplog.text
        assert "locked" in caplog.text
    with running(tmp_path, table_of(4, clock)) as (_, pool):
        assert pool.name(1) == "first"


def test_what_cannot_be_written_is_told_once_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(tmp_path, table_of(9, clock)) as (store, pool):
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / f"{FILE}-wal").stat().st_size, hard))
        for number in range(3):
            give(pool, clock, f"{number}.example")
            store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caplog.text.count("names cannot be written") == len(caplog.records) == 1
        store.flush()
        killed = after_kill(tmp_path)
    with running(killed, table_of(9, clock)) as (_, pool):
        assert [pool.name(slot) for slot in (1, 2, 3)] == ["0.example", "1.example", "2.example"]
