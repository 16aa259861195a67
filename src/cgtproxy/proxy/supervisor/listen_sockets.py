"""The sockets on which traffic comes in: the supervisor's, as they must outlive its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from cgtproxy.config.model import Config
from cgtproxy.proxy.io.sockets import FAMILIES, Socket, has_family, listen, listen_datagrams
from cgtproxy.proxy.worker.sockets import ListenSockets


class Transport(Enum):
    """What a listening socket is for."""

    TCP = auto()
    UDP = auto()


class SocketKind(NamedTuple):
    """A kind of listening socket, of which each worker has one."""

    transport: Transport
    family: int
    port: int

    def open(self, mark: int) -> Socket:
        """Raises CgtproxyError."""
        opened_by = listen if self.transport is Transport.TCP else listen_datagrams
        return opened_by(self.family, self.port, mark)


class ListenSocketPool:
    """One of each kind for every worker (SO_REUSEPORT)."""

    def __init__(self) -> None:
        self._sockets: dict[SocketKind, list[Socket]] = {}

    def open(self, config: Config, count: int) -> None:
        """Make what is missing for so many workers; nobody loses a socket. Raises CgtproxyError."""
        for kind in _kinds(config):
            socks = self._sockets.setdefault(kind, [])
            while len(socks) < count:
                socks.append(kind.open(config.limits.mark))

    def trim(self, config: Config, count: int) -> None:
        """Close what is not wanted any more."""
        wanted = _kinds(config)
        for kind, socks in list(self._sockets.items()):
            while len(socks) > (count if kind in wanted else 0):
                socks.pop().close()
            if not socks:
                del self._sockets[kind]

    def of(self, config: Config, number: int) -> Mapping[str, ListenSockets]:
        """Those of worker `number`, by the TPROXY's name."""
        served = [tproxy for tproxy in config.tproxies if tproxy.server]
        return {tproxy.name: self._of(tproxy.port, number) for tproxy in served}

    def _of(self, port: int, number: int) -> ListenSockets:
        streams, datagrams = self._find(Transport.TCP, port), self._find(Transport.UDP, port)
        return ListenSockets(
            [socks[number] for socks in streams],
            [sock for socks in streams for sock in socks if sock is not socks[number]],
            [socks[number] for socks in datagrams],
        )

    def _find(self, transport: Transport, port: int) -> Sequence[Sequence[Socket]]:
        """For each address family the sockets of all workers."""
        wanted = (transport, port)
        found = self._sockets.items()
        return [socks for kind, socks in found if (kind.transport, kind.port) == wanted]

    def leave(self, number: int | None = None) -> None:
        """In another process, close all but those that worker `number` has to do with.

        A listening socket that nobody accepts from would still get its share of the clients.
        """
        for kind, socks in self._sockets.items():
            for other, sock in enumerate(socks):
                if number is None or (kind.transport is Transport.UDP and other != number):
                    sock.close()


def _kinds(config: Config) -> set[SocketKind]:
    families = [family for family in FAMILIES if has_family(family)]
    return {
        SocketKind(transport, family, tproxy.port)
        for transport in Transport
        for family in families
        for tproxy in config.tproxies
        if tproxy.server
    }
