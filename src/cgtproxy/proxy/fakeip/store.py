"""The names on disk, in SQLite, so that they survive a restart.

A thread writes; no query waits for it.

The file is a second behind, so when all processes are killed, names that were just given are lost.
But the file also has the slots that were next to get one: after such an end these stand for
nothing, and get no other name before the time has passed for which a name is kept anyway.

Times of last use are in seconds during which the server ran, over all its runs, so that no setting
of the computer's clock can change their order. In the file a slot is called `place`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from array import array
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.slot_table import IN_USE, MAX_NAME, START, SlotTable

FILE = "fake-ip.db"
PAUSE = 1.0  # seconds of changes that go into one transaction
COARSE = 60  # seconds by which a time in the file may be too old
_CHUNK = 256  # slots that are compared at once

# An exclusive lock: two resolvers would give one slot two names. A killed process loses nothing
# that was committed to a WAL; a power failure may, and no application that remembers an address
# survives that. What is checked here is checked again by quick_check.
_SCHEMA = f"""
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS names (
    pool TEXT NOT NULL,
    place INTEGER NOT NULL CHECK (typeof(place) = 'integer' AND place > 0),
    name TEXT NOT NULL CHECK (length(name) <= {MAX_NAME} AND name NOT GLOB '*[^ -~]*'),
    used INTEGER NOT NULL CHECK (typeof(used) = 'integer' AND used BETWEEN 0 AND 1 << 60),
    PRIMARY KEY (pool, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pools (
    pool TEXT NOT NULL PRIMARY KEY,
    waiting BLOB NOT NULL CHECK (length(waiting) % 4 = 0)
) WITHOUT ROWID;
COMMIT;
"""

log = logging.getLogger("cgtproxy")


def state_directory() -> Path:
    """Where the file is: StateDirectory= of the unit, systemd.exec(5)."""
    return Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or "/var/lib/cgtproxy")


class Store:
    """Loads and saves the names of all pools.

    Call pool() for each pool, then start(), and close() when no more names are given. Where the
    file cannot be used there is one warning, and names do not survive a restart.
    """

    def __init__(self, directory: Path) -> None:
        self._db = _open(directory / FILE)
        self._pools: list[_Saved] = []
        self._changed = Event()
        self._closing = Event()
        self._thread: Thread | None = None
        self._failing = False

    def pool(self, table: SlotTable) -> Pool:
        """The pool of a table, which is loaded unless a resolver before has done so."""
        if not self._db:
            return Pool(table)
        saved = _Saved(table)
        # Slot 0 can have no name; its use tells that all was loaded.
        try:
            saved.load(self._db, names=not table.used(0))
        except sqlite3.Error as error:
            log.warning("not all names were read from %s: %s", FILE, error)
        table.touch(0)
        saved.pool = Pool(table, self._changed.set)
        self._pools.append(saved)
        return saved.pool

    def start(self) -> None:
        """Begin to save. Raises no error: what cannot be written is logged."""
        if self._db:
            self.flush()  # the slots that are next, before the first of them gets a name
            self._thread = Thread(target=self._run, name="fake-ip store", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Save all, with exact times, and release the file."""
        if self._thread:
            self._closing.set()
            self._changed.set()
            self._thread.join()
            self.flush(1, at_end=True)
        if self._db:
            self._db.close()

    def flush(self, coarseness: int = COARSE, at_end: bool = False) -> None:
        """Write what has changed: names, and times older in the file by `coarseness` seconds."""
        assert self._db
        try:
            for saved in self._pools:
                saved.flush(self._db, coarseness, at_end)
        except sqlite3.Error as error:
            if not self._failing:
                log.warning("names cannot be written to %s: %s", FILE, error)
            self._failing = True
        else:
            self._failing = False

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait(COARSE)
            self._changed.clear()
            self._closing.wait(PAUSE)
            self.flush()


class _Saved:
    """The rows of one pool, and what they are known to hold."""

    pool: Pool

    def __init__(self, table: SlotTable) -> None:
        self._table = table
        network, network6 = table.ranges.pool
        # A slot's addresses follow from these two alone, not from the networks' sizes.
        self._key = f"{network.network_address} {network6.network_address}"
        self._times = memoryview(array("I", bytes(4 * table.ranges.size)))
        self._waiting: bytes | None = None
        self._offset = 0  # of the database's times

    def load(self, db: sqlite3.Connection, names: bool) -> None:
        """Give the slots their names back, but for those that may have got others since."""
        key, table, size = self._key, self._table, len(self._times)
        with db:
            db.execute("DELETE FROM names WHERE pool = ? AND place >= ?", (key, size))
        (last,) = db.execute("SELECT max(used) FROM names WHERE pool = ?", (key,)).fetchone()
        self._offset = (last or 0) + 1 - START
        if not names:
            return
        waiting = db.execute("SELECT waiting FROM pools WHERE pool = ?", (key,)).fetchone()
        lost = set(array("I", waiting[0] if waiting else b""))
        table.exact = not lost  # the run before has come to its end
        rows = db.execute("SELECT place, name, used FROM names WHERE pool = ?", (key,))
        for slot, name, used in rows:
            if slot not in lost:
                table.set(slot, name)
                table.touch(slot, max(1, used - self._offset))
                self._times[slot] = table.used(slot)
        for slot in lost:
            if slot < size:
                table.touch(slot, START)

    def flush(self, db: sqlite3.Connection, coarseness: int, at_end: bool) -> None:
        """Write what has changed, in one transaction. Raises sqlite3.Error."""
        # In this order: what gets its name in between must be among those that wait.
        waiting = self._at_end() if at_end else array("I", self.pool.waiting()).tobytes()
        changed = dict(self._changes(coarseness))
        if not changed and waiting == self._waiting:
            return
        with db:
            db.executemany(
                "REPLACE INTO names VALUES (?, ?, ?, ?)",
                (
                    (self._key, slot, self._table.name(slot), used + self._offset)
                    for slot, used in changed.items()
                ),
            )
            db.execute("REPLACE INTO pools VALUES (?, ?)", (self._key, waiting))
        self._waiting = waiting
        for slot, used in changed.items():
            self._times[slot] = used

    def _at_end(self) -> bytes:
        """None is waiting; slot 0, which can have no name, tells that times may be too old: those
        of a run soon before, which did not come to its end."""
        table = self._table
        exact = table.exact or table.now() - START > IN_USE
        return b"" if exact else array("I", [0]).tobytes()

    def _changes(self, coarseness: int) -> Iterator[tuple[int, int]]:
        times, saved = self._table.times, self._times
        for first in range(0, len(times), _CHUNK):
            now = times[first : first + _CHUNK]
            if now == saved[first : first + _CHUNK]:
                continue
            for slot, used in enumerate(now, first):
                if slot and used - saved[slot] >= coarseness:
                    yield slot, used


def _open(path: Path) -> sqlite3.Connection | None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _set_aside(path, error)
            return _connect(path)
    except (OSError, sqlite3.Error) as error:
        log.warning("names will not survive a restart, cannot use %s: %s", path, error)
        return None


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    db = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        db.executescript(_SCHEMA)
        (found,) = db.execute("PRAGMA quick_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _set_aside(path: Path, error: sqlite3.DatabaseError) -> None:
    log.warning("%s is damaged (%s), renamed to %s.damaged", path, error, path.name)
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{path}.damaged{suffix}")
