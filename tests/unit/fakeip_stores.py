"""Stores of names on disk, in one life of the server after the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.fakeip.store import Store
from unit.fakeip_pools import Clock


@contextmanager
def running(directory: Path, *tables: SlotTable) -> Iterator[tuple[Store, Pool]]:
    """The first of the tables' pools."""
    store = Store(directory)
    pools = [store.pool(each) for each in tables]
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
        return pool.slot_for(name)

    return [one(name) for name in names]


def numbers(*bounds: int) -> list[str]:
    return [str(number) for number in range(*bounds)]
