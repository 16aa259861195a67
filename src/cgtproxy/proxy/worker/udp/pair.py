"""Connected socket pairs, between a client and one destination: the kernel finds them by itself."""

from __future__ import annotations

from typing import Protocol

from cgtproxy.proxy.io.mmsg import BATCH
from cgtproxy.proxy.io.reactor import FAILED
from cgtproxy.proxy.io.sockets import Socket
from cgtproxy.proxy.worker.udp.sessions import Sessions

_ROUNDS = 4  # batches, before others get their turn


class Owner(Protocol):
    """What has a pair."""

    def moved(self) -> None:
        """Datagrams went through the pair, in either direction."""

    def failed(self, sock: Socket) -> None:
        """There are errors in the queue of the socket."""


class Pair:
    """Moves datagrams between `inner`, connected to the client, and `outer`, to the destination."""

    __slots__ = ("_closed", "_inner", "_owner", "_sessions", "outer")

    def __init__(self, sessions: Sessions, owner: Owner, inner: Socket, outer: Socket) -> None:
        self._sessions = sessions
        self._owner = owner
        self._inner = inner
        self._closed = False
        self.outer = outer
        sessions.reactor.register_datagrams(inner.fileno(), self._on_inner)
        sessions.reactor.register_datagrams(outer.fileno(), self._on_outer)

    def _on_inner(self, _: int) -> None:
        self._move(self._inner, self.outer)

    def _on_outer(self, mask: int) -> None:
        if mask & FAILED:
            self._owner.failed(self.outer)
        self._move(self.outer, self._inner)

    def _move(self, source: Socket, sink: Socket) -> None:
        if self._closed:
            return
        self._owner.moved()
        sessions = self._sessions
        fds = source.fileno(), sink.fileno()
        for _ in range(_ROUNDS):
            count = sessions.mover.move(*fds)
            if 0 <= count < BATCH:
                return
        sessions.reactor.soon(lambda: self._move(source, sink))

    def close(self) -> None:
        """Close both sockets."""
        self._closed = True
        for sock in (self._inner, self.outer):
            self._sessions.reactor.forget(sock.fileno())
            sock.close()
