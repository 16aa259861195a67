"""What all processes of the server share of one pool: each slot's name, and its last use.

The memory is made before the processes are. Only the resolver gives names; everybody reads them
and tells of use.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from zlib import crc32

from cgtproxy.proxy.fakeip.ranges import Ranges

IN_USE = 300  # seconds since its last use for which a slot keeps its name, whatever happens
_ROUNDED = 2  # seconds that are lost at the end of one run and the beginning of the next
LONGEST = 253  # bytes of a name as text (RFC 1035, 2.3.4)
START = 1 << 31  # the time when the memory was made; what was used in earlier runs is before it

_RECORD = 1 + LONGEST + 2  # bytes: length and name, and 16 records to a page


def is_name(text: str) -> bool:
    """Whether it can be a slot's name: the text is printable ASCII, and not too long."""
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable()


class SlotTable:
    """Times are whole seconds; 0 is the last use of what never was used.

    `clock` does not advance while the computer sleeps, as the timers by which connections tell of
    their use: nothing may count as unused because nobody could run. Pages that were not touched
    take no memory, but reading touches them too, so `used` comes first.
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
        return int(self._clock() - self._zero)

    def name(self, slot: int) -> str:
        """ "" if there is none.

        A name that is being replaced has another checksum, in whatever order the processor of
        the reader sees the bytes change.
        """
        if not self.times[slot]:
            return ""
        offset = slot * _RECORD + 1
        name = self._names[offset : offset + self._names[offset - 1]]
        return name.decode("ascii", "replace") if crc32(name) == self._sums[slot] else ""

    def set(self, slot: int, name: str) -> None:
        """Name a slot that is not in use; nobody sees it before the slot's first touch()."""
        encoded = name.encode("ascii")
        offset = slot * _RECORD
        self._names[offset : offset + 1 + len(encoded)] = bytes((len(encoded),)) + encoded
        self._sums[slot] = crc32(encoded)

    def used(self, slot: int) -> int:
        return self.times[slot]

    def touch(self, slot: int, now: int | None = None) -> None:
        """The slot is being used."""
        self.times[slot] = self.now() if now is None else now

    def in_use(self, slot: int) -> bool:
        """Whoever knows the slot may still count on its name. What was used in an earlier run
        may have been used at its very end, unless that is known."""
        used = self.times[slot]
        if used >= START:
            return self.now() - used <= IN_USE
        since = min(used + _ROUNDED, START) if self.exact else START
        return used != 0 and self.now() - since <= IN_USE
