"""Log lines that a client could cause by the thousand, once in a while."""

from __future__ import annotations

import logging
import time

PAUSE = 10.0  # seconds between two lines of one kind

log = logging.getLogger("cgtproxy")


class Throttle:
    """Logs one line of a kind in PAUSE seconds, and how many there would have been."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}  # when told last, how many not told since

    def warning(self, kind: str, detail: str) -> None:
        """Log `kind: detail`, `kind` being one of few."""
        now = time.monotonic()
        told, untold = self._kinds.get(kind, (-PAUSE, 0))
        if now - told < PAUSE:
            self._kinds[kind] = told, untold + 1
            return
        self._kinds[kind] = now, 0
        more = f" (and {untold} times before)" if untold else ""
        log.warning("%s: %s%s", kind, detail, more)
