"""Coalescing of events in a burst.

A wake-up costs as much as ten events do, and a process with real-time priority is woken for each
event: 1,000 of them took 80 ms of CPU time instead of 30.
"""

from __future__ import annotations

import time
from collections.abc import Callable

IDLE = 0.001  # seconds without work that end a burst
UNDELAYED = 5  # rounds of work in a row that are not delayed yet
PAUSE = 0.002  # seconds


class Coalescer:
    """No delay as long as there are pauses; in a burst each round of work is preceded by one."""

    def __init__(self) -> None:
        self._rounds = 0
        self._ended = float("-inf")

    def delay(self, now: float) -> float:
        """How many seconds to wait before the work that came up at `now`."""
        self._rounds = self._rounds + 1 if now - self._ended < IDLE else 0
        return PAUSE if self._rounds >= UNDELAYED else 0.0

    def end(self, now: float) -> None:
        """That work is done."""
        self._ended = now


def coalesce(work: Callable[[], None]) -> Callable[[], None]:
    """`work`, which handles all events that are pending, for a loop to call at each wake-up."""
    coalescer = Coalescer()

    def run() -> None:
        if delay := coalescer.delay(time.monotonic()):
            time.sleep(delay)  # of no time would take 10 µs, or 50 at ordinary priority
        work()
        coalescer.end(time.monotonic())

    return run
