"""How soon to mend what broke."""

from __future__ import annotations

FREE = 20  # faults mended at once
MOST = FREE + 8  # what counts, so that it is forgiven soon after it is over
FIRST, LONGEST = 0.05, 5.0  # seconds


class Backoff:
    """A leaky bucket: a fault puts one in, a second takes one out; above FREE mending waits.

    So single faults are mended at once, however long the daemon runs, and one that comes back for
    ever is mended about once a second.
    """

    def __init__(self) -> None:
        self._level = 0.0
        self._last = 0.0

    def strike(self, now: float) -> None:
        """Something had to be mended, or could not be, at `now` (seconds)."""
        self._level = min(MOST, self._now(now) + 1)
        self._last = now

    def delay(self, now: float) -> float:
        """How many seconds to wait before mending again."""
        excess = self._now(now) - FREE
        return 0.0 if excess <= 0 else min(LONGEST, FIRST * 2.0 ** (excess - 1))

    def degraded(self, now: float) -> bool:
        return self._now(now) > FREE

    def _now(self, now: float) -> float:
        return max(0.0, self._level - (now - self._last))
