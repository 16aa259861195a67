"""Idle connections to the upstreams, opened before they are needed.

On an idle connection only the destination is left to be sent. That saves a round trip to the
upstream for the connection, more of them for TLS, the greeting and the password, and the time in
which the upstream starts a process or thread for it. For UDP the association is there already, and
datagrams are sent at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeAlias

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.reactor import FAILED, READABLE, Deadlines, Reactor
from cgtproxy.proxy.protocols.handshake import Handshake
from cgtproxy.proxy.upstreams.connection import Connected, Done
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.failover import Failed
from cgtproxy.proxy.upstreams.schemes import associate_handshake, check_handshake

_MOST = 8  # of a kind, for an upstream, in this process
_GROWTH = 2  # opened after each dial that found none, so that rare connections cost little
_LIFETIME = 10.0  # seconds: servers wait longer for a request

Make: TypeAlias = Callable[[Done], None]


class PooledDialer(Dialer):
    """Dials by an idle connection, if there is one, and keeps others ready after a success."""

    @cached_property
    def _greeted(self) -> dict[Upstream, IdlePool]:
        return self._pools(check_handshake)

    @cached_property
    def _associated(self) -> dict[Upstream, IdlePool]:
        return self._pools(associate_handshake)

    def _pools(self, handshake: Callable[[Upstream], Handshake]) -> dict[Upstream, IdlePool]:
        lifetimes = Deadlines(self.reactor, _LIFETIME)
        dial = super().dial

        def make(upstream: Upstream, on_end: Done) -> None:
            dial(upstream, handshake(upstream), on_end)

        return {u: IdlePool(self.reactor, lifetimes, partial(make, u)) for u in self.targets}

    def dial(self, upstream: Upstream, handshake: Handshake, on_end: Done) -> None:
        """As Dialer.dial(), with the greeting behind us if there is an idle connection."""
        pool = self._greeted[upstream]
        if kept := pool.take():
            self.resume(upstream, kept, handshake, on_end)
        else:
            super().dial(upstream, handshake, partial(_ended, pool, on_end))

    def associate(self, upstream: Upstream, on_end: Done) -> None:
        """As Dialer.associate(), without any wait if there is an idle association."""
        pool = self._associated[upstream]
        if kept := pool.take():
            self.resume(upstream, kept, kept.handshake, on_end)
        else:
            super().associate(upstream, partial(_ended, pool, on_end))


def _ended(pool: IdlePool, on_end: Done, end: Connected | Failed) -> None:
    on_end(end)
    if isinstance(end, Connected):
        pool.grow()


class IdlePool:
    """The idle connections of one kind to one upstream, oldest first; `dial` opens another."""

    def __init__(self, reactor: Reactor, lifetimes: Deadlines, dial: Make) -> None:
        self._reactor = reactor
        self._lifetimes = lifetimes
        self._dial = dial
        self._idle: dict[IdleConnection, None] = {}
        self._coming = 0

    def take(self) -> Connected | None:
        """The oldest one, if there is any. Another is opened while the server works for it."""
        for idle in self._idle:
            self._remove(idle)
            self._reactor.later(self._make)
            return idle.connected
        return None

    def grow(self) -> None:
        """Open more, as somebody has found none."""
        for _ in range(_GROWTH):
            self._reactor.later(self._make)

    def _make(self) -> None:
        if len(self._idle) + self._coming < _MOST:
            self._coming += 1
            self._dial(self._made)

    def _made(self, end: Connected | Failed) -> None:
        """A failure is not reported: whoever needs a connection dials, and reports its own."""
        self._coming -= 1
        if isinstance(end, Connected):
            idle = IdleConnection(self, end)
            self._reactor.replace_handler(end.sock.fileno(), idle.on_event)
            self._idle[idle] = None
            self._lifetimes.add(idle)
            if end.hung_up:
                self.close(idle)

    def _remove(self, idle: IdleConnection) -> None:
        del self._idle[idle]
        self._lifetimes.remove(idle)

    def close(self, idle: IdleConnection) -> None:
        """End one that is of no use any more."""
        self._remove(idle)
        sock = idle.connected.sock
        self._reactor.forget(sock.fileno())
        sock.close()


class IdleConnection:
    """One of a pool, until it is taken, its lifetime is over, or the server ends it."""

    __slots__ = ("_pool", "connected")

    def __init__(self, pool: IdlePool, connected: Connected) -> None:
        self._pool = pool
        self.connected = connected

    def on_event(self, mask: int) -> None:
        """Close it when the server does, or sends something unasked. A handler of the reactor."""
        if mask & (READABLE | FAILED):
            self._pool.close(self)

    def expire(self) -> None:
        """Close it, as its lifetime is over."""
        self._pool.close(self)
