"""What clients share, so that none of them takes it all from the others."""

from __future__ import annotations

from collections import Counter


class FairLimiter:
    """Of `most` places, a client gets another one while it has fewer than are free.

    So one that wants all gets half of them, each of n gets 1/(n + 1) in the long run, and something
    is left for the next. That is how switches share a buffer among their ports (Choudhury and
    Hahne, "Dynamic Queue Length Thresholds", 1998): nobody has to know how many there will be.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._held: Counter[str] = Counter()
        self._most = most

    def take(self, client: str) -> bool:
        """Whether it gets a place, which is then to be given back."""
        if self._held[client] >= self._free:
            return False
        self._held[client] += 1
        self._free -= 1
        return True

    def give_back(self, client: str) -> None:
        self._free += 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    def holders(self, client: str) -> str:
        """For the log, when it got none."""
        held = self._held[client]
        return f"{held} of {client} and {self._most - self._free - held} of others"
