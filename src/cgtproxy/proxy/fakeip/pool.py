"""Which name gets which place: the least recently used goes first, and none that is in use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace

from cgtproxy.proxy.fakeip.slots import Slots, is_name

MOST_WAITING = 1024


class Pool:
    """The resolver's; it alone names places. A crashed one's successor finds all in the slots.

    The places that are next to get another name wait in a queue, still with their own, so that
    the store can write down which they are before it happens.

    Other processes touch places without telling, so what is recorded of a place's last use may be
    too old: it is looked up when the place's turn comes. A record is one number, of the time and
    the place, as a full pool has many; that of a place never used is the place itself.
    """

    def __init__(self, slots: Slots, named: Callable[[], None] = lambda: None) -> None:
        """`named` is called after a name was given a place, `on_full` where one gets none."""
        self.ranges = slots.ranges
        self.name = slots.name
        self.slots = slots
        self._named = named
        self.on_full: Callable[[], None] = lambda: None
        self._size = slots.ranges.size
        self._most_waiting = min(MOST_WAITING, self._size // 8 + 1)
        self._places: dict[str, int] = {}
        self._used: list[int] = []  # a heap of records
        self._waiting: deque[int] = deque()  # records
        self._adopt()
        self._unused = (place for place in range(1, self._size) if not slots.used(place))
        self._queue()

    def place_of(self, name: str) -> int | None:
        """The place of the name, from now on in use; None if all others' names are.

        Raises ValueError if it cannot be a name.
        """
        place = self._places.get(name)
        if place is None:
            return self._give_place(name)
        self.slots.touch(place)
        return place

    def waiting(self) -> list[int]:
        """The places that get the next names. May be called by other threads."""
        places = ((record, record % self._size) for record in self._waiting.copy())
        return [place for record, place in places if self._record(place) == record]

    def _adopt(self) -> None:
        slots, size = self.slots, self._size
        for place in range(1, size):
            if used := slots.used(place):
                self._used.append(used * size + place)
                self._adopt_name(slots.name(place), place)
        heapify(self._used)

    def _adopt_name(self, name: str, place: int) -> None:
        if name in self._places:  # what the store has kept is older than it thought
            self.slots.set(place, "")
        elif name:
            self._places[name] = place

    def _give_place(self, name: str) -> int | None:
        if not is_name(name):
            raise ValueError(f"no name: {name!r}")
        place = self._first_waiting()
        if place is None:
            self.on_full()
            return None
        self._places.pop(self.slots.name(place), None)
        self.slots.set(place, name)
        now = self.slots.now()
        self.slots.touch(place, now)
        self._waiting.popleft()  # not before the store can see that the place was used
        self._places[name] = place
        heappush(self._used, now * self._size + place)
        self._queue()
        self._named()
        return place

    def _first_waiting(self) -> int | None:
        while self._waiting:
            record = self._waiting[0]
            place = record % self._size
            actual = self._record(place)
            if actual == record:
                return None if self.slots.in_use(place) else place
            self._waiting.popleft()
            heappush(self._used, actual)
            self._queue()
        return None

    def _queue(self) -> None:
        while len(self._waiting) < self._most_waiting:
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

    def _record(self, place: int) -> int:
        return self.slots.used(place) * self._size + place
