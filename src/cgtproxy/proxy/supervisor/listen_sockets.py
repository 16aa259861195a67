"""The sockets on which traffic comes in: the supervisor's, as they must outlive its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from cgtproxy.config.model import Config
from cgtproxy.proxy.io.sockets import FAMILIES, Socket, has_family, listen, listen_datagrams
from cgtproxy.proxy.worker.sockets import ListenSockets

MakeSocket: TypeAlias = Callable[[int, int, int], Socket]
SocketKind: TypeAlias = tuple[MakeSocket, int, int]  # listen or listen_datagrams, family, port


class ListenSocketPool:
    """One of each kind for every worker (SO_REUSEPORT)."""

    def __init__(self) -> None:
        self._sockets: dict[SocketKind, list[Socket]] = {}

    def open(self, config: Config, count: int) -> None:
        """Make what is missing for so many workers; nobody loses a socket. Raises CgtproxyError."""
        for kind in _kinds(config):
            make, family, port = kind
            socks = self._sockets.setdefault(kind, [])
            while len(socks) < count:
                socks.append(make(family, port, config.limits.mark))

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

        def find(wanted: MakeSocket, port: int) -> list[list[Socket]]:
            found = self._sockets.items()
            return [socks for (make, _, p), socks in found if (make, p) == (wanted, port)]

        def sockets(port: int) -> ListenSockets:
            streams, datagrams = find(listen, port), find(listen_datagrams, port)
            return ListenSockets(
                [socks[number] for socks in streams],
                [sock for socks in streams for sock in socks if sock is not socks[number]],
                [socks[number] for socks in datagrams],
            )

        return {tproxy.name: sockets(tproxy.port) for tproxy in config.tproxies if tproxy.server}

    def leave(self, number: int | None = None) -> None:
        """In another process: keep none but those that worker `number` has to do with.

        A listening socket that nobody accepts from would still get its share of the clients.
        """
        for (make, _, _), socks in self._sockets.items():
            for other, sock in enumerate(socks):
                if number is None or (make is listen_datagrams and other != number):
                    sock.close()


def _kinds(config: Config) -> set[SocketKind]:
    families = [family for family in FAMILIES if has_family(family)]
    return {
        (make, family, tproxy.port)
        for make in (listen, listen_datagrams)
        for family in families
        for tproxy in config.tproxies
        if tproxy.server
    }
