"""The memory of one pool that all processes of the server share: name and last use of each slot.

The supervisor maps it before it forks. Only the resolver writes names; every process reads them and
stamps the time of last use.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from zlib import crc32

from cgtproxy.proxy.fakeip.ranges import Ranges

IN_USE = 300  # seconds after its last use in which a slot keeps its name, whatever happens
_ROUNDED = 2  # seconds that are lost at the end of one run and the beginning of the next
MAX_NAME = 253  # bytes of a name as text (RFC 1035, 2.3.4)
START = 1 << 31  # now(), when the memory was mapped: times of earlier runs are below it

_RECORD = 1 + MAX_NAME + 2  # bytes: length and name, and 16 records to a page


def is_name(text: str) -> bool:
    """Whether a slot can have this name: printable ASCII, 1 to MAX_NAME characters."""
    return 0 < len(text) <= MAX_NAME and text.isascii() and text.isprintable()


class SlotTable:
    """Name and time of last use by slot. Times are whole seconds; 0 is never.

    `clock` must not advance while the computer sleeps, as the timers by which connections stamp
    their slots do not: nothing may count as unused because nobody could run. Pages that were never
    touched take no memory, but reading touches them too, so look at used() first.
    """

    def __init__(self, ranges: Ranges, clock: Callable[[], float] = time.monotonic) -> None:
        self.ranges = ranges
        self._clock = clock
        self._zero = clock() - START
        self._names = mmap.mmap(-1, ranges.size * _RECORD)
        self._sums = memoryview(mmap.mmap(-1, ranges.size * 4)).cast("I")
        self.times = memoryview(mmap.mmap(-1, ranges.size * 4)).cast("I")  # of last use, by slot
        self.exact = False  # whether the times of earlier runs are those of the very last uses

    def now(self) -> int:
        """The time for touch(): START and the seconds since the memory was mapped."""
        return int(self._clock() - self._zero)

    def name(self, slot: int) -> str:
        """The slot's name; "" if it has none.

        Without a lock: a name that is being replaced does not have its checksum, in whatever order
        the reader's processor sees the bytes change.
        """
        if not self.times[slot]:
            return ""
        offset = slot * _RECORD + 1
        name = self._names[offset : offset + self._names[offset - 1]]
        return name.decode("ascii", "replace") if crc32(name) == self._sums[slot] else ""

    def set(self, slot: int, name: str) -> None:
        """Name a slot that is not in use. The resolver's; no reader sees it before a touch()."""
        encoded = name.encode("ascii")
        offset = slot * _RECORD
        self._names[offset : offset + 1 + len(encoded)] = bytes((len(encoded),)) + encoded
        self._sums[slot] = crc32(encoded)

    def used(self, slot: int) -> int:
        """The time of last use."""
        return self.times[slot]

    def touch(self, slot: int, now: int | None = None) -> None:
        """Stamp the slot as used now, or at another time."""
        self.times[slot] = self.now() if now is None else now

    def in_use(self, slot: int) -> bool:
        """Whether somebody may still count on the slot's name.

        What was used in an earlier run may have been used at its very end, unless `exact`.
        """
        used = self.times[slot]
        if used >= START:
            return self.now() - used <= IN_USE
        since = min(used + _ROUNDED, START) if self.exact else START
        return used != 0 and self.now() - since <= IN_USE
