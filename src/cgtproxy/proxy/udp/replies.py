"""Answers to clients from the addresses that they have written to."""

from __future__ import annotations

import contextlib

from cgtproxy.proxy.sockets import Address, Socket, spoofing


class Replies:
    """One socket for each address that answers, shared by all clients; made when it first does."""

    def __init__(self, mark: int) -> None:
        self._mark = mark
        self._sockets: dict[Address, Socket] = {}
        self._used: set[Address] = set()

    def send(self, family: int, source: Address, client: Address, data: memoryview) -> None:
        """What cannot be sent is lost, as datagrams may be."""
        self._used.add(source)
        sock = self._sockets.get(source)
        with contextlib.suppress(OSError):
            if sock is None:
                sock = self._sockets[source] = spoofing(source, family, self._mark)
            sock.sendto(data, client)

    def sweep(self) -> None:
        """Close what was not used since the last time."""
        for source in self._sockets.keys() - self._used:
            self._sockets.pop(source).close()
        self._used.clear()
