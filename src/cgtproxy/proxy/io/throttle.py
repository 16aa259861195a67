"""Rate-limited warnings: those that a client could cause by the thousand."""

from __future__ import annotations

import logging
import time

PAUSE = 10.0  # seconds between two lines about one problem

log = logging.getLogger("cgtproxy")


class Throttle:
    """Logs each problem at most every PAUSE seconds, and how often it was left out."""

    def __init__(self) -> None:
        # By problem: when it was logged last, and how often it was not logged since.
        self._problems: dict[str, tuple[float, int]] = {}

    def warning(self, problem: str, detail: str) -> None:
        """Log `problem: detail`. There must be few different problems: each is remembered."""
        now = time.monotonic()
        logged, skipped = self._problems.get(problem, (-PAUSE, 0))
        if now - logged < PAUSE:
            self._problems[problem] = logged, skipped + 1
            return
        self._problems[problem] = now, 0
        more = f" (and {skipped} times before)" if skipped else ""
        log.warning("%s: %s%s", problem, detail, more)
