"""Connections to the upstreams, made before they are needed.

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
from cgtproxy.proxy.upstreams.dial import Dial, Done
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.schemes import associate_handshake, check_handshake

_MOST = 8  # of a kind, for an upstream, in this process
_GROWTH = 2  # for each connection that finds none: rare ones make no more of them
_LIFETIME = 10.0  # seconds: servers wait longer for a request

Make: TypeAlias = Callable[[Done], None]


class PooledDialer(Dialer):
    """Dials by a spare connection, if there is one, and keeps others ready after a success."""

    @cached_property
    def _greeted(self) -> dict[Upstream, IdlePool]:
        return self._spares(check_handshake)

    @cached_property
    def _associated(self) -> dict[Upstream, IdlePool]:
        return self._spares(associate_handshake)

    def _spares(self, handshake: Callable[[Upstream], Handshake]) -> dict[Upstream, IdlePool]:
        lifetimes = Deadlines(self.reactor, _LIFETIME)
        dial = super().dial

        def make(upstream: Upstream, on_end: Done) -> None:
            dial(upstream, handshake(upstream), on_end)

        return {u: IdlePool(self.reactor, lifetimes, partial(make, u)) for u in self.targets}

    def dial(self, upstream: Upstream, handshake: Handshake, on_end: Done) -> Dial:
        spares = self._greeted[upstream]
        if spare := spares.take():
            spare.resume(handshake, on_end)
            return spare
        return super().dial(upstream, handshake, partial(_dialed, spares, on_end))

    def associate(self, upstream: Upstream, on_end: Done) -> None:
        spares = self._associated[upstream]
        if spare := spares.take():
            on_end(spare)
        else:
            super().associate(upstream, partial(_dialed, spares, on_end))


def _dialed(spares: IdlePool, on_end: Done, dial: Dial) -> None:
    succeeded = dial.sock is not None
    on_end(dial)
    if succeeded:
        spares.grow()


class IdlePool:
    """Those of one kind to one upstream, the oldest first; `dial` begins to make one."""

    def __init__(self, reactor: Reactor, lifetimes: Deadlines, dial: Make) -> None:
        self._reactor = reactor
        self._lifetimes = lifetimes
        self._dial = dial
        self._ready: dict[Spare, None] = {}
        self._coming = 0

    def take(self) -> Dial | None:
        """The next one is made while the server is at work for this one."""
        for spare in self._ready:
            self._remove(spare)
            self._reactor.later(self._make)
            return spare.dial
        return None

    def grow(self) -> None:
        for _ in range(_GROWTH):
            self._reactor.later(self._make)

    def _make(self) -> None:
        if len(self._ready) + self._coming < _MOST:
            self._coming += 1
            self._dial(self._made)

    def _made(self, dial: Dial) -> None:
        """That one was not made is no loss: who needs it dials, and tells what is wrong."""
        self._coming -= 1
        if dial.sock:
            spare = Spare(self, dial)
            self._reactor.replace_handler(dial.sock.fileno(), spare.on_event)
            self._ready[spare] = None
            self._lifetimes.add(spare)
            if dial.hung_up:
                spare.expire()

    def _remove(self, spare: Spare) -> None:
        del self._ready[spare]
        self._lifetimes.remove(spare)

    def close(self, spare: Spare) -> None:
        assert spare.dial.sock
        self._remove(spare)
        self._reactor.forget(spare.dial.sock.fileno())
        spare.dial.sock.close()


class Spare:
    __slots__ = ("dial", "spares")

    def __init__(self, spares: IdlePool, dial: Dial) -> None:
        self.spares = spares
        self.dial = dial

    def on_event(self, mask: int) -> None:
        """The server ends the connection, or says something before it is asked."""
        if mask & (READABLE | FAILED):
            self.spares.close(self)

    def expire(self) -> None:
        self.spares.close(self)
