"""The sockets on which traffic comes in: the supervisor's, as they must outlive its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from cgtproxy.config.model import Config
from cgtproxy.proxy.sockets import FAMILIES, Socket, has_family, listen, listen_datagrams

Maker: TypeAlias = Callable[[int, int, int], Socket]
Kind: TypeAlias = tuple[Maker, int, int]  # listen or listen_datagrams, family, port


class Inlets(NamedTuple):
    """The sockets of one process on which one TPROXY's traffic comes in.

    `streams_of_others` are those that it accepts from when their own workers are busy.
    """

    streams: Sequence[Socket]
    streams_of_others: Sequence[Socket]
    datagrams: Sequence[Socket]


class InletSockets:
    """One of each kind for every worker (SO_REUSEPORT)."""

    def __init__(self) -> None:
        self._sockets: dict[Kind, list[Socket]] = {}

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

    def of(self, config: Config, number: int) -> Mapping[str, Inlets]:
        """Those of worker `number`, by the TPROXY's name."""

        def find(wanted: Maker, port: int) -> list[list[Socket]]:
            found = self._sockets.items()
            return [socks for (make, _, p), socks in found if (make, p) == (wanted, port)]

        def inlets(port: int) -> Inlets:
            streams, datagrams = find(listen, port), find(listen_datagrams, port)
            return Inlets(
                [socks[number] for socks in streams],
                [sock for socks in streams for sock in socks if sock is not socks[number]],
                [socks[number] for socks in datagrams],
            )

        return {tproxy.name: inlets(tproxy.port) for tproxy in config.tproxies if tproxy.server}

    def leave(self, number: int | None = None) -> None:
        """In another process: keep none but those that worker `number` has to do with.

        A listening socket that nobody accepts from would still get its share of the clients.
        """
        for (make, _, _), socks in self._sockets.items():
            for other, sock in enumerate(socks):
                if number is None or (make is listen_datagrams and other != number):
                    sock.close()


def _kinds(config: Config) -> set[Kind]:
    families = [family for family in FAMILIES if has_family(family)]
    return {
        (make, family, tproxy.port)
        for make in (listen, listen_datagrams)
        for family in families
        for tproxy in config.tproxies
        if tproxy.server
    }
