"""The TCP connections of a process."""

from __future__ import annotations

from math import ceil
from socket import AF_UNIX

from cgtproxy.config.model import Workers
from cgtproxy.proxy.io.keepalive import keep_alive
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.io.sockets import Socket
from cgtproxy.proxy.worker.tcp.direction import COPY, Direction
from cgtproxy.proxy.worker.tcp.pipes import Pipes
from cgtproxy.runtime.event_loop import Callback

_SWEEPS = 4  # or more, in the time after which an idle connection ends
LONGEST = 120.0  # seconds between two sweeps: from the first on, a connection is kept alive


class Relays:
    """What the connections of a process share."""

    def __init__(self, reactor: Reactor, limits: Workers) -> None:
        self.reactor = reactor
        self.pipes = Pipes(limits.pipes)
        self.buffer = bytearray(COPY)
        self.view = memoryview(self.buffer)
        self.open: set[Direction] = set()  # those from the client, one a connection
        self.on_close: dict[Direction, Callback] = {}  # for few of them
        self._sweeps = max(_SWEEPS, ceil(limits.idle_timeout / LONGEST))
        self._period = limits.idle_timeout / self._sweeps
        self.opening: set[object] = set()  # attempts to connect, each for one connection
        self._scheduled = False
        self._limit = limits.connections

    @property
    def full(self) -> bool:
        return len(self.open) + len(self.opening) >= self._limit

    def join(self, client: Socket, remote: Socket, early: bytes = b"") -> Direction:
        """Make both directions, whose handlers are still to be registered with the reactor.

        `early` are bytes that have come from `remote` already. The direction from the client is
        returned; the other one is its `twin`.
        """
        up = Direction(self, client, remote)
        down = Direction(self, remote, client)
        up.twin, down.twin = down, up
        down.writes = 2  # the client's socket has inherited NODELAY from the listener
        if remote.family == AF_UNIX:
            up.writes = 2  # a tunnel, which knows no NODELAY
            down.kept_alive = True
        down.buffer = early or None
        self.open.add(up)
        if not self._scheduled:
            self._scheduled = True
            self.reactor.after(self._period, self._sweep)
        return up

    def leave(self, direction: Direction) -> None:
        """Undo join(); the sockets are still to be closed."""
        twin = direction.twin
        for each in (direction, twin):
            each.closed = each.finished = True
            each.buffer = None
            self.reactor.forget(each.fd)
            self.open.discard(each)
            if each.pipe:
                self.pipes.discard(each.pipe)
                each.pipe = None
            if self.on_close and (callback := self.on_close.pop(each, None)):
                callback()
        # Cycles would wait for the garbage collector.
        del direction.twin, twin.twin

    def _sweep(self) -> None:
        for up in list(self.open):
            down = up.twin
            up.idle += 1
            down.idle += 1
            if min(up.idle, down.idle) > self._sweeps:
                up.abort()
            elif not down.kept_alive:
                # Late, as most connections are gone by now; the client's socket inherited it.
                down.kept_alive = True
                keep_alive(down.source)
        self._scheduled = bool(self.open)
        if self._scheduled:
            self.reactor.after(self._period, self._sweep)
