"""Relaying to the destination itself: the shortest path, taken by most connections."""

from __future__ import annotations

import logging

from cgtproxy.proxy.io.addresses import Address, show
from cgtproxy.proxy.io.reactor import Deadlines
from cgtproxy.proxy.io.sockets import Socket, connect, outgoing, reset
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.worker.tcp.direction import Direction
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.tcp.state import CLOSED

log = logging.getLogger("cgtproxy")


class Direct:
    """Connects clients to the destinations themselves."""

    def __init__(self, relays: Relays, deadlines: Deadlines, mark: int, throttle: Throttle) -> None:
        self._relays = relays
        self._deadlines = deadlines
        self._mark = mark
        self._throttle = throttle

    def open(self, client: Socket, family: int, destination: Address) -> None:
        """Take `client` over, and relay it to `destination`, or reset it."""
        try:
            remote = outgoing(family, self._mark)
        except OSError as error:
            self._throttle.warning("refused, no socket can be opened", f"{error.strerror}")
            reset(client)
            return
        if failure := connect(remote, destination):  # no route
            log.debug("tcp %s: %s", show(destination), failure)
            remote.close()
            reset(client)
            return
        up = self._relays.join(client, remote)
        up.connecting = True
        up.pump()  # what the client has sent with its first packets
        if up.state is not CLOSED:
            reactor = self._relays.reactor
            reactor.register(up.fd, up.on_event)
            reactor.register(up.sink_fd, _Connecting(up, self._deadlines).on_event)


class _Connecting:
    """Waits for the first event of the remote socket, and hands it over to the relay then."""

    __slots__ = ("deadlines", "up")

    def __init__(self, up: Direction, deadlines: Deadlines) -> None:
        self.up = up
        self.deadlines = deadlines
        deadlines.add(self)

    def on_event(self, mask: int) -> None:
        """Take the first event of the remote socket."""
        self.deadlines.remove(self)
        down = self.up.twin
        self.up.connecting = False
        self.up.shared.reactor.replace_handler(down.fd, down.on_event)
        down.on_event(mask)

    def expire(self) -> None:
        """There was no event in time."""
        if self.up.state is not CLOSED:
            log.debug("tcp: no answer in time")
            self.up.abort()
