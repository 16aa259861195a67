"""Connecting an accepted client to its destination, through the upstreams or directly."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cgtproxy.config.model import Upstream
from cgtproxy.config.schemes import DIRECT
from cgtproxy.proxy.fakeip.destinations import Destinations, show_both
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import Address, SocketAddress, show
from cgtproxy.proxy.io.sockets import Socket, reset
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.handshake import HostPort
from cgtproxy.proxy.upstreams.connection import Connected
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.failover import (
    Commands,
    Connect,
    Failed,
    Failover,
    GoDirect,
    MarkDown,
    Outcome,
    Refuse,
)
from cgtproxy.proxy.upstreams.schemes import connect_handshake
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.worker.tcp.direct import Direct
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.tcp.state import CLOSED

log = logging.getLogger("cgtproxy")


@dataclass(frozen=True, slots=True)
class UpstreamConnector:
    """Connects the clients of one TPROXY to where they mean to go."""

    selector: UpstreamSelector
    dialer: Dialer
    direct: Direct
    destinations: Destinations
    relays: Relays
    throttle: Throttle

    def open(self, client: Socket, family: int, destination: Address) -> None:
        """Relay `client` to `destination`, or reset it. The caller gives `client` up."""
        fake = self.destinations.find(destination[0])
        if fake and not fake.name:
            self.destinations.tell_unknown(destination)
            reset(client)
        elif (always := self.selector.always) and not fake:
            if always.scheme is DIRECT:
                self.direct.open(client, family, destination)
            else:
                reset(client)
        else:
            _Opening(self, client, family, destination, fake).start()


class _Opening:
    """A connection that is being opened. It holds a lease on its fake-ip address, if it has one."""

    def __init__(
        self,
        connector: UpstreamConnector,
        client: Socket,
        family: int,
        destination: Address,
        fake: FakeName | None,
    ) -> None:
        self._connector = connector
        self._client = client
        self._family = family
        self._destination = destination
        self._fake = fake
        selector = connector.selector
        self._failover = Failover(selector.server, selector.candidates())
        connector.relays.opening.add(self)
        if fake:
            connector.destinations.leases.take(fake)

    def start(self) -> None:
        """Try the first upstream."""
        self._do(self._failover.start())

    def _do(self, commands: Commands) -> None:
        for command in commands:
            match command:
                case Connect(upstream):
                    self._connect(upstream)
                case MarkDown(upstream):
                    self._connector.selector.failed(upstream)
                case GoDirect():
                    self._go_direct()
                case Refuse(reason):
                    self._refuse(reason)

    def _connect(self, upstream: Upstream) -> None:
        host, port = self._destination[:2]
        name = self._fake.name if self._fake else host.partition("%")[0]
        handshake = connect_handshake(upstream, HostPort(name, port))
        self._connector.dialer.dial(upstream, handshake, partial(self._ended, upstream))

    def _ended(self, upstream: Upstream, end: Connected | Failed) -> None:
        if isinstance(end, Connected):
            self._join(end, unread=end.hung_up)
            return
        throttle = self._connector.throttle
        if end.outcome is Outcome.OUT_OF_DESCRIPTORS:
            throttle.warning("refused, no socket can be opened", end.reason)
        elif end.outcome is not Outcome.REFUSED_BY_DESTINATION:
            throttle.warning(f"{upstream} failed", end.reason)
        self._do(self._failover.failed(end))

    def _go_direct(self) -> None:
        if self._fake:
            port = self._destination[1]
            find = self._connector.destinations.look_up
            find(self._fake.name, self._family, port, self._found)
        else:
            self._connector.relays.opening.discard(self)
            self._connector.direct.open(self._client, self._family, self._destination)

    def _found(self, addresses: Sequence[SocketAddress]) -> None:
        if addresses:
            self._connector.dialer.dial_directly(addresses, self._ended_directly)
        else:
            self._refuse("the name is not found")

    def _ended_directly(self, end: Connected | Failed) -> None:
        if isinstance(end, Connected):
            self._join(end, unread=True)  # its first event may have told of data, too
            return
        if end.outcome is Outcome.OUT_OF_DESCRIPTORS:
            self._connector.throttle.warning("refused, no socket can be opened", end.reason)
        self._refuse(f"direct://: {end.reason}")

    def _refuse(self, why: str) -> None:
        self._connector.relays.opening.discard(self)
        fake, to = self._fake, self._destination
        log.debug("tcp %s: %s", show_both(fake, to) if fake else show(to), why)
        reset(self._client)
        if fake:
            self._connector.destinations.leases.release(fake)

    def _join(self, connected: Connected, *, unread: bool) -> None:
        """`unread`: there may be something to read of which no event will tell."""
        relays = self._connector.relays
        relays.opening.discard(self)
        up = relays.join(self._client, connected.sock, connected.handshake.rest)
        if self._fake:
            relays.on_close[up] = partial(self._connector.destinations.leases.release, self._fake)
        if connected.tunnel:
            connected.tunnel.on_fail = up.abort
        down = up.twin
        down.hung_up = connected.hung_up
        relays.reactor.register(up.fd, up.on_event)
        relays.reactor.replace_handler(down.fd, down.on_event)
        if unread or down.buffer:
            down.pump()
        if up.state is not CLOSED:
            up.pump()
