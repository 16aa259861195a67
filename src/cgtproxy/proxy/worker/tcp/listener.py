"""Accepting the connections that TPROXY hands over, and refusing all others."""

from __future__ import annotations

import errno
from typing import Protocol

from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.io.sockets import Socket, accept, reset
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.worker.gate import Gate
from cgtproxy.proxy.worker.tcp.relay import Relays

_MOST_AT_ONCE = 32  # connections
_RETRY = 0.1  # seconds
# Of the workers that watch a socket the kernel wakes the first that waits, in the order in which
# they began. So each begins with its own sockets, and with those of the others when all have.
_HELP_AFTER = 0.5  # seconds
# Only these errors of accept(2) concern all connections: others are those of the one connection.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connector(Protocol):
    """Takes accepted connections over."""

    def open(self, client: Socket, family: int, destination: Address) -> None:
        """Take `client` over, which was connecting to `destination`."""


class Listener:
    """Accepts from `sock`: its own worker's, or another worker's while that one is busy."""

    def __init__(
        self,
        sock: Socket,
        gate: Gate,
        connector: Connector,
        relays: Relays,
        throttle: Throttle,
        *,
        own: bool,
    ) -> None:
        self._sock = sock
        self._family = sock.family
        self._gate = gate
        self._connector = connector
        self._relays = relays
        self._reactor: Reactor = relays.reactor
        self._throttle = throttle
        self._at_once = 1
        self._stopped = True
        if own:
            self._resume()
        else:
            self._reactor.after(_HELP_AFTER, self._resume)

    def close(self) -> None:
        """Leave the socket to its other holders."""
        self._stop()
        self._sock.close()

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._reactor.unwatch(self._sock)

    def _on_readable(self) -> None:
        self._reactor.later(self._accept)

    def _accept(self) -> None:
        """Accept a few connections at a time, twice as many when there were as many."""
        if self._stopped:
            return
        for _ in range(self._at_once):
            if self._relays.full:
                self._pause(f"{len(self._relays.open)} connections are open (workers.connections)")
                return
            try:
                client = accept(self._sock, self._family)
            except BlockingIOError:
                self._at_once = self._at_once >> 1 or 1
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(f"{error.strerror}, with {len(self._relays.open)} connections")
                return
            self._admit(client)
        self._at_once = min(self._at_once * 2, _MOST_AT_ONCE)

    def _admit(self, client: Socket) -> None:
        try:
            destination = client.getsockname()
        except OSError:  # reset meanwhile
            client.close()
            return
        if self._gate.refuses(self._family, destination):
            reset(client)
        else:
            self._connector.open(client, self._family, destination)

    def _pause(self, why: str) -> None:
        """Leave the clients in the kernel's queue for a while."""
        self._throttle.warning("accepting no connections for now", why)
        self._stop()
        self._reactor.after(_RETRY, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._stopped = False
        self._reactor.watch_shared(self._sock, self._on_readable)
