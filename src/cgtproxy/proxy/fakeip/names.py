"""What a worker wants to know of a destination: the name for which its address stands."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.runtime.event_loop import EventLoop

PERIOD = 60.0  # seconds between two touches of what is held


class FakeName(NamedTuple):
    """An address of a pool. `name` is "" if it stands for nothing: then there is no way there."""

    table: SlotTable
    slot: int
    name: str


class FakeNames:
    """`pools`: those of the whole configuration, for a name may have been asked for anywhere."""

    def __init__(self, pools: Sequence[SlotTable]) -> None:
        self._pools = pools

    def find(self, host: str) -> FakeName | None:
        """None if the address (text) is none of a pool's."""
        if not self._pools:
            return None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        packed = socket.inet_pton(family, host.partition("%")[0])
        for table in self._pools:
            slot = table.ranges.slot_of(packed)
            if slot is not None:
                return FakeName(table, slot, table.name(slot))
        return None


class Leases:
    """Names that connections and sessions hold, as often as they were taken and not released."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._held: dict[FakeName, int] = {}
        self._scheduled = False

    def take(self, name: FakeName) -> None:
        """Keep the slot from getting another name, until as many calls of release()."""
        name.table.touch(name.slot)
        self._held[name] = self._held.get(name, 0) + 1
        if not self._scheduled:
            self._schedule()

    def release(self, name: FakeName) -> None:
        name.table.touch(name.slot)
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.after(PERIOD, self._touch)

    def _touch(self) -> None:
        self._scheduled = False
        for name in self._held:
            name.table.touch(name.slot)
        if self._held:
            self._schedule()
