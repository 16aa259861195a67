"""Exponential back-off: how long to wait before what has failed is tried again."""

from __future__ import annotations

import math


class Backoff:
    """Each failure doubles the delay, from `first` to `longest` seconds.

    It is a leaky bucket: a failure puts one in, `leak` of them run out in a second, and `burst` of
    them cost no delay. So a rare failure is retried at once for ever, and a lasting one less and
    less often. Times (`now`) are in seconds, of any clock that never goes back.
    """

    def __init__(self, first: float, longest: float, *, leak: float, burst: int = 0) -> None:
        self._first = first
        self._longest = longest
        self._leak = leak
        self._burst = burst
        # More than the longest delay takes does not count, so that it is over soon.
        self._capacity = burst + 1 + math.ceil(math.log2(longest / first))
        self._level = 0.0
        self._last = 0.0

    def failed(self, now: float) -> None:
        """It has failed, or had to be done once more."""
        self._level = min(self._capacity, self._now(now) + 1)
        self._last = now

    def succeeded(self) -> None:
        """All failures so far are forgiven."""
        self._level = 0.0

    def delay(self, now: float) -> float:
        """How many seconds to wait before the next try."""
        excess = self._now(now) - self._burst
        return 0.0 if excess <= 0 else min(self._longest, self._first * 2.0 ** (excess - 1))

    def exceeded(self, now: float) -> bool:
        """Whether there were more failures than `burst` of late."""
        return self._now(now) > self._burst

    def _now(self, now: float) -> float:
        return max(0.0, self._level - (now - self._last) * self._leak)
