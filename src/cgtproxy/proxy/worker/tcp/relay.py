"""The TCP connections of a process: how many there are, and when they end for being idle."""

from __future__ import annotations

from math import ceil
from socket import AF_UNIX

from cgtproxy.config.model import Workers
from cgtproxy.proxy.io.keepalive import keep_alive
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.io.sockets import Socket
from cgtproxy.proxy.worker.tcp.direction import Direction, Shared
from cgtproxy.proxy.worker.tcp.pipes import Pipes
from cgtproxy.runtime.event_loop import Callback

_SWEEPS = 4  # or more, in the time after which an idle connection ends
LONGEST = 120.0  # seconds between two sweeps: from the first on, a connection is kept alive


class Relays:
    """All TCP connections of a process.

    `open` has the direction from the client of each, and whether its remote socket is kept alive.
    `opening` has the attempts to connect to a remote socket, each for one connection. `on_close`
    has what is called at the end of a connection, for the few that need it.
    """

    def __init__(self, reactor: Reactor, limits: Workers) -> None:
        self.reactor = reactor
        self.open: dict[Direction, bool] = {}
        self.opening: set[object] = set()
        self.on_close: dict[Direction, Callback] = {}
        self._shared = Shared(reactor, Pipes(limits.pipes), self._closed)
        self._limit = limits.connections
        self._sweeps = max(_SWEEPS, ceil(limits.idle_timeout / LONGEST))
        self._period = limits.idle_timeout / self._sweeps
        self._scheduled = False

    @property
    def full(self) -> bool:
        """Whether there are as many connections as `workers.connections` allows."""
        return len(self.open) + len(self.opening) >= self._limit

    def join(self, client: Socket, remote: Socket, early: bytes = b"") -> Direction:
        """Make both directions, whose handlers are still to be registered with the reactor.

        `early` are bytes that have come from `remote` already. The direction from the client is
        returned; the other one is its `twin`.
        """
        client_fd, remote_fd = client.fileno(), remote.fileno()
        up = Direction(self._shared, client, client_fd, remote, remote_fd)
        down = Direction(self._shared, remote, remote_fd, client, client_fd)
        up.twin, down.twin = down, up
        if early:
            down.keep(early)
        self.open[up] = remote.family == AF_UNIX  # a tunnel, whose own socket is kept alive
        if not self._scheduled:
            self._scheduled = True
            self.reactor.after(self._period, self._sweep)
        return up

    def _closed(self, direction: Direction) -> None:
        for each in (direction, direction.twin):
            self.open.pop(each, None)
            if self.on_close and (callback := self.on_close.pop(each, None)):
                callback()

    def _sweep(self) -> None:
        for up, kept_alive in list(self.open.items()):
            down = up.twin
            up.idle += 1
            down.idle += 1
            if min(up.idle, down.idle) > self._sweeps:
                up.abort()
            elif not kept_alive:
                # Late, as most connections are gone by now; the client's socket inherited it.
                self.open[up] = True
                keep_alive(up.sink)
        self._scheduled = bool(self.open)
        if self._scheduled:
            self.reactor.after(self._period, self._sweep)
