"""The workers' side of fake-ip: names by address, and leases that keep them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.runtime.event_loop import EventLoop

PERIOD = 60.0  # seconds between two stamps of a slot that is held


class FakeName(NamedTuple):
    """The slot of a fake-ip address, and its name: "" if it has none, so that nothing is there."""

    table: SlotTable
    slot: int
    name: str


class FakeNames:
    """All pools of the configuration: a name may come from any TPROXY's DNS server."""

    def __init__(self, pools: Sequence[SlotTable]) -> None:
        self._pools = pools

    def find(self, host: str) -> FakeName | None:
        """The slot and name of an address (text, perhaps with a zone); None outside all pools.

        Raises OSError for text that is no address.
        """
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
    """Counts the connections and sessions that hold each name, and stamps its slot while they do.

    A slot that was stamped in the last IN_USE seconds gets no other name.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._held: dict[FakeName, int] = {}
        self._scheduled = False

    def take(self, name: FakeName) -> None:
        """Keep the name from losing its slot, until release() was called as often."""
        name.table.touch(name.slot)
        self._held[name] = self._held.get(name, 0) + 1
        if not self._scheduled:
            self._schedule()

    def release(self, name: FakeName) -> None:
        """Undo one take()."""
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
