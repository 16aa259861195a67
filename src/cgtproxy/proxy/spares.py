"""Connections to the upstreams, made before they are needed.

Who finds one only has to tell the destination: that spares a round trip to the upstream for the
connection, others for TLS, the greeting and the password, and the upstream's own start of a process
or thread for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.dial import Dial, Done
from cgtproxy.proxy.dialer import Dialer, check_handshake
from cgtproxy.proxy.protocols.handshake import Handshake
from cgtproxy.proxy.reactor import FAILED, READABLE, Deadlines, Reactor

_MOST = 8  # for an upstream, in this process
_GROWTH = 2  # for each connection that finds none: rare ones make no more of them
_LIFETIME = 10.0  # seconds: servers wait longer for a request


class SparingDialer(Dialer):
    """Dials by a spare connection, if there is one, and keeps others ready after a success."""

    @cached_property
    def _spares(self) -> dict[Upstream, Spares]:
        lifetimes = Deadlines(self.reactor, _LIFETIME)
        make = super().dial
        return {u: Spares(u, self.reactor, lifetimes, make) for u in self.targets}

    def dial(self, upstream: Upstream, handshake: Handshake, on_end: Done) -> Dial:
        spares = self._spares[upstream]
        if spare := spares.take():
            # The next one, while the server is at work for this one.
            self.reactor.later(spares.make)
            return self.dial_on(spare, handshake, on_end)
        return super().dial(upstream, handshake, partial(self._dialed, spares, on_end))

    def _dialed(self, spares: Spares, on_end: Done, dial: Dial) -> None:
        succeeded = dial.sock is not None
        on_end(dial)
        if succeeded:
            for _ in range(_GROWTH):
                self.reactor.later(spares.make)


class Spares:
    """Those to one upstream, the oldest first; they are made by `dial`."""

    def __init__(
        self,
        upstream: Upstream,
        reactor: Reactor,
        lifetimes: Deadlines,
        dial: Callable[[Upstream, Handshake, Done], Dial],
    ) -> None:
        self._upstream = upstream
        self._reactor = reactor
        self._lifetimes = lifetimes
        self._dial = dial
        self._ready: dict[Spare, None] = {}
        self._coming = 0

    def take(self) -> Dial | None:
        for spare in self._ready:
            self._remove(spare)
            return spare.dial
        return None

    def make(self) -> None:
        if len(self._ready) + self._coming < _MOST:
            self._coming += 1
            self._dial(self._upstream, check_handshake(self._upstream), self._made)

    def _made(self, dial: Dial) -> None:
        """That one was not made is no loss: who needs it dials, and tells what is wrong."""
        self._coming -= 1
        if dial.sock:
            spare = Spare(self, dial)
            self._reactor.handlers[dial.sock.fileno()] = spare.on_event
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

    def __init__(self, spares: Spares, dial: Dial) -> None:
        self.spares = spares
        self.dial = dial

    def on_event(self, mask: int) -> None:
        """The server ends the connection, or says something before it is asked."""
        if mask & (READABLE | FAILED):
            self.spares.close(self)

    def expire(self) -> None:
        self.spares.close(self)
