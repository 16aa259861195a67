"""Idle connections to the upstreams, made before they are needed.

Who finds one only has to tell the destination: that spares a round trip to the upstream for the
connection, others for TLS, the greeting and the password, and the upstream's own start of a process
or thread for it. For UDP a SOCKS5 server has been asked already, and datagrams can go at once.
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
_GROWTH = 2  # for each connection that finds none: rare ones make no more of them
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
        pool = self._greeted[upstream]
        if kept := pool.take():
            self.resume(upstream, kept, handshake, on_end)
        else:
            super().dial(upstream, handshake, partial(_ended, pool, on_end))

    def associate(self, upstream: Upstream, on_end: Done) -> None:
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
    """Those of one kind to one upstream, the oldest first; `dial` begins to make one."""

    def __init__(self, reactor: Reactor, lifetimes: Deadlines, dial: Make) -> None:
        self._reactor = reactor
        self._lifetimes = lifetimes
        self._dial = dial
        self._idle: dict[IdleConnection, None] = {}
        self._coming = 0

    def take(self) -> Connected | None:
        """The next one is made while the server is at work for this one."""
        for idle in self._idle:
            self._remove(idle)
            self._reactor.later(self._make)
            return idle.connected
        return None

    def grow(self) -> None:
        """Have more of them, as somebody has found none."""
        for _ in range(_GROWTH):
            self._reactor.later(self._make)

    def _make(self) -> None:
        if len(self._idle) + self._coming < _MOST:
            self._coming += 1
            self._dial(self._made)

    def _made(self, end: Connected | Failed) -> None:
        """That one was not made is no loss: who needs it dials, and tells what is wrong."""
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
    """One of a pool, until it is taken, its time is up, or the server says something unasked."""

    __slots__ = ("_pool", "connected")

    def __init__(self, pool: IdlePool, connected: Connected) -> None:
        self._pool = pool
        self.connected = connected

    def on_event(self, mask: int) -> None:
        """A handler of the reactor."""
        if mask & (READABLE | FAILED):
            self._pool.close(self)

    def expire(self) -> None:
        """Its time is up."""
        self._pool.close(self)
