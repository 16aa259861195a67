"""Which slot a new name gets: an unused one, or the least recently used that is not in use.

Only the resolver has this. The successor of one that crashed rebuilds it from the slot table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace

from cgtproxy.proxy.fakeip.slot_table import SlotTable, is_name

MAX_WAITING = 1024


class Pool:
    """Gives slots to names, by least recent use.

    The slots that are next to get another name wait in a queue, still with their own, so that
    the store can write down which they are before it happens. One that is used while it waits goes
    to the end, so up to MAX_WAITING others may get a name before it that were used later.

    Other processes stamp slots without telling, so the time in a heap record may be too old: the
    table is asked again when the record's turn comes. A record is one number, time * size + slot,
    as a full pool has many; that of a slot never used is the slot itself.
    """

    def __init__(self, table: SlotTable, named: Callable[[], None] = lambda: None) -> None:
        """`named` is called after a name has got a slot, `on_full` when none is free for one."""
        self.ranges = table.ranges
        self.name = table.name
        self.table = table
        self._named = named
        self.on_full: Callable[[], None] = lambda: None
        self._size = table.ranges.size
        self._max_waiting = min(MAX_WAITING, self._size // 8 + 1)
        self._slots: dict[str, int] = {}
        self._used: list[int] = []  # a heap of records
        self._waiting: deque[int] = deque()  # records
        self._adopt()
        self._unused = (slot for slot in range(1, self._size) if not table.used(slot))
        self._queue()

    def slot_for(self, name: str) -> int | None:
        """The name's slot, its own or a new one, stamped as used now; None if all are in use.

        Raises ValueError for what cannot be a name.
        """
        slot = self._slots.get(name)
        if slot is None:
            return self._give_slot(name)
        self.table.touch(slot)
        return slot

    def waiting(self) -> list[int]:
        """The slots that the next names will get, first to last. Any thread may call it."""
        slots = ((record, record % self._size) for record in self._waiting.copy())
        return [slot for record, slot in slots if self._record(slot) == record]

    def _adopt(self) -> None:
        table, size = self.table, self._size
        for slot in range(1, size):
            if used := table.used(slot):
                self._used.append(used * size + slot)
                self._adopt_name(table.name(slot), slot)
        heapify(self._used)

    def _adopt_name(self, name: str, slot: int) -> None:
        if name in self._slots:  # what the store has kept is older than it thought
            self.table.set(slot, "")
        elif name:
            self._slots[name] = slot

    def _give_slot(self, name: str) -> int | None:
        if not is_name(name):
            raise ValueError(f"no name: {name!r}")
        slot = self._first_waiting()
        if slot is None:
            self.on_full()
            return None
        self._slots.pop(self.table.name(slot), None)
        self.table.set(slot, name)
        now = self.table.now()
        self.table.touch(slot, now)
        self._waiting.popleft()  # not before the store can see that the slot was used
        self._slots[name] = slot
        heappush(self._used, now * self._size + slot)
        self._queue()
        self._named()
        return slot

    def _first_waiting(self) -> int | None:
        while self._waiting:
            record = self._waiting[0]
            slot = record % self._size
            actual = self._record(slot)
            if actual == record:
                return None if self.table.in_use(slot) else slot
            self._waiting.popleft()
            heappush(self._used, actual)
            self._queue()
        return None

    def _queue(self) -> None:
        while len(self._waiting) < self._max_waiting:
            record = next(self._unused, None) or self._least_recently_used()
            if record is None:
                return
            self._waiting.append(record)

    def _least_recently_used(self) -> int | None:
        while self._used:
            record = self._used[0]
            actual = self._record(record % self._size)
            if actual == record:
                return heappop(self._used)
            heapreplace(self._used, actual)
        return None

    def _record(self, slot: int) -> int:
        return self.table.used(slot) * self._size + slot
