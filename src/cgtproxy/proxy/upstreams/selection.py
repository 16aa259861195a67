"""Which upstreams of a TPROXY are candidates for a connection, and which are down."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence

from cgtproxy.config.model import Server, Upstream


class Health:
    """Which upstreams are down: a byte for each, in memory that all processes share.

    An upstream without health checks stays down once a connection by it has failed.
    """

    def __init__(self, upstreams: Iterable[Upstream]) -> None:
        self._slots: Mapping[Upstream, int] = {u: n for n, u in enumerate(upstreams)}
        self._down = mmap.mmap(-1, max(1, len(self._slots)))

    def is_up(self, upstream: Upstream) -> bool:
        """Whether nothing is known to be wrong with it."""
        slot = self._slots.get(upstream)
        return slot is None or not self._down[slot]

    def tell(self, upstream: Upstream, *, up: bool) -> bool:
        """Record whether `upstream` works; returns whether that has changed."""
        news = self.is_up(upstream) is not up
        self._down[self._slots[upstream]] = not up
        return news


class UpstreamSelector:
    """Selects among the upstreams of `server`.

    `always` is the only one, if that is `direct://` or `drop://`.
    """

    def __init__(self, server: Server, health: Health) -> None:
        self.server = server
        self._health = health
        self._turn = 0
        self.always = server.upstreams[0] if len(server.upstreams) == 1 else None
        if self.always and self.always.scheme.remote:
            self.always = None

    def candidates(self) -> Sequence[Upstream]:
        """The upstreams to try for a connection, in order: those that are up.

        If all are down, none with `on-down: direct`, else all.
        """
        upstreams = self.server.upstreams
        direct = self.server.on_down == "direct"
        if len(upstreams) == 1 and not direct:  # then there is no choice
            return upstreams
        if self.server.select == "round-robin":
            self._turn = (self._turn + 1) % len(upstreams)
            upstreams = upstreams[self._turn :] + upstreams[: self._turn]
        checked = self.server.health_check  # else nothing would tell that one works again
        up = [upstream for upstream in upstreams if not checked or self._health.is_up(upstream)]
        if direct:
            return up
        return up or upstreams  # the checks may be late, and nothing is leaked by trying

    def failed(self, upstream: Upstream) -> None:
        """Mark `upstream` as down until its next health check."""
        self._health.tell(upstream, up=False)
