"""A limit that clients share so that none of them can use it up."""

from __future__ import annotations

from collections import Counter


class FairLimiter:
    """`capacity` permits, of which a client gets another while it holds fewer than are free.

    So one that wants all gets half of them, each of n gets 1/(n + 1) in the long run, and something
    is left for the next. Nobody has to know how many clients there will be: these are dynamic
    thresholds, by which switches share a buffer among their ports (Choudhury and Hahne, "Dynamic
    Queue Length Thresholds for Shared-Memory Packet Switches", 1998).
    """

    def __init__(self, capacity: int) -> None:
        self._free = self._capacity = capacity
        self._held: Counter[str] = Counter()

    def try_acquire(self, client: str) -> bool:
        """Whether the client gets a permit, which it must release()."""
        if self._held[client] >= self._free:
            return False
        self._held[client] += 1
        self._free -= 1
        return True

    def release(self, client: str) -> None:
        """Take back one permit of a client that holds some."""
        self._free += 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    def usage(self, client: str) -> str:
        """Who holds how many, for the log when the client got none."""
        held = self._held[client]
        return f"{held} of {client} and {self._capacity - self._free - held} of others"
