"""Accepting the connections that TPROXY hands over, and no others."""

from __future__ import annotations

import errno
from typing import Protocol

from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.io.sockets import Socket, accept, reset
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.worker.gate import Gate
from cgtproxy.proxy.worker.tcp.relay import Relays

_MOST_AT_ONCE = 32
_RETRY = 0.1  # seconds
# The kernel wakes the first that waits: after this time all workers wait for their own clients.
_HELP = 0.5  # seconds
# accept(2): what happened to one connection before it was accepted says nothing of the others
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
            self._reactor.after(_HELP, self._resume)

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
        """A few at a time, more of them as long as there are as many."""
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
        """Let the clients wait in the kernel's queue."""
        self._throttle.warning("accepting no connections for now", why)
        self._stop()
        self._reactor.after(_RETRY, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._stopped = False
        self._reactor.watch_shared(self._sock, self._on_readable)
