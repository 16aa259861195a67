"""The sockets on which traffic comes in: the supervisor's, as they must outlive its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from cgtproxy.config.model import Config
from cgtproxy.proxy.sockets import FAMILIES, Socket, has_family, listen, listen_datagrams

Maker: TypeAlias = Callable[[int, int, int], Socket]
Kind: TypeAlias = tuple[Maker, int, int]  # listen or listen_datagrams, family, port


class Inlets(NamedTuple):
    """The sockets of one process on which one TPROXY's traffic comes in."""

    streams: Sequence[Socket]
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

        def find(wanted: Maker, port: int) -> list[Socket]:
            found = self._sockets.items()
            return [s[number] for (make, _, p), s in found if (make, p) == (wanted, port)]

        return {
            tproxy.name: Inlets(find(listen, tproxy.port), find(listen_datagrams, tproxy.port))
            for tproxy in config.tproxies
            if tproxy.server
        }

    def leave(self, number: int | None = None) -> None:
        """In another process: keep none but those of worker `number`.

        A listening socket that nobody accepts from would still get its share of the clients.
        """
        for socks in self._sockets.values():
            for other, sock in enumerate(socks):
                if other != number:
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
