"""Sending answers to clients from the addresses that the clients have sent to."""

from __future__ import annotations

from cgtproxy.proxy.io.addresses import Address, show
from cgtproxy.proxy.io.sockets import Socket, spoofing
from cgtproxy.proxy.io.throttle import Throttle


class Replies:
    """Has a socket for each address that answers, made at its first answer, for all clients."""

    def __init__(self, mark: int, throttle: Throttle) -> None:
        self._mark = mark
        self._throttle = throttle
        self._sockets: dict[Address, Socket] = {}
        self._used: set[Address] = set()

    def send(self, family: int, source: Address, client: Address, data: memoryview) -> None:
        """Send `data` to `client` as if from `source`. What cannot be sent is lost and logged."""
        self._used.add(source)
        sock = self._sockets.get(source)
        try:
            if sock is None:
                sock = self._sockets[source] = spoofing(source, family, self._mark)
            sock.sendto(data, client)
        except PermissionError:
            what = "an answer over UDP was lost, CAP_NET_BIND_SERVICE is missing"
            self._throttle.warning(what, f"it would come from {show(source)}")
        except OSError as error:
            self._throttle.warning("an answer was lost", f"{show(source)}: {error.strerror}")

    def sweep(self) -> None:
        """Close the sockets that were not used since the last call."""
        for source in self._sockets.keys() - self._used:
            self._sockets.pop(source).close()
        self._used.clear()
