"""How soon to mend what broke."""

from __future__ import annotations

FREE = 20  # faults mended at once
FIRST, LONGEST = 0.05, 5.0  # seconds
FORGIVEN_AFTER = 10.0  # seconds without a fault


class Backoff:
    """At once at first; a fault that comes back again and again waits longer each time."""

    def __init__(self) -> None:
        self._strikes = 0
        self._last = float("-inf")

    def strike(self, now: float) -> None:
        """Something had to be mended, or could not be, at `now` (seconds)."""
        self._strikes = self._recent(now) + 1
        self._last = now

    def delay(self, now: float) -> float:
        """How many seconds to wait before mending again."""
        excess = self._recent(now) - FREE
        return 0.0 if excess <= 0 else min(LONGEST, FIRST * 2.0 ** min(excess - 1, 10))

    def degraded(self, now: float) -> bool:
        return self._recent(now) > FREE

    def _recent(self, now: float) -> int:
        return self._strikes if now - self._last <= FORGIVEN_AFTER else 0
