"""From an accepted connection to a relay: through the upstreams, one after the other."""

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
from cgtproxy.proxy.protocols.socks5 import HostPort
from cgtproxy.proxy.upstreams.dial import Dial
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.schemes import connect_handshake
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.worker.tcp.direct import Direct
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.tcp.state import CLOSED

log = logging.getLogger("cgtproxy")


@dataclass(frozen=True, slots=True)
class UpstreamConnector:
    selector: UpstreamSelector
    dialer: Dialer
    direct: Direct
    destinations: Destinations
    relays: Relays
    throttle: Throttle

    def open(self, client: Socket, family: int, destination: Address) -> None:
        fake = self.destinations.find(destination[0])
        if fake and not fake.name:
            self.destinations.tell_unknown(destination)
            reset(client)
        elif self.selector.always and not fake:
            self.open_by(self.selector.always, client, family, destination)
        else:
            _Attempts(self, client, family, destination, fake).next()

    def open_by(self, upstream: Upstream, client: Socket, family: int, to: Address) -> None:
        """By an upstream that is nowhere else, to a real address."""
        if upstream.scheme is DIRECT:
            self.direct.open(client, family, to)
        else:
            reset(client)


class _Attempts:
    """The upstreams that are left to be tried for one connection; `fake` is held meanwhile."""

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
        self._candidates = connector.selector.candidates()
        self._unanswered = False
        connector.relays.opening.add(self)
        if fake:
            connector.destinations.leases.take(fake)

    def next(self) -> None:
        if not self._candidates:
            self._refuse("no upstream takes it")
            return
        upstream = self._candidates.pop(0)
        if self._unanswered and upstream.scheme is DIRECT:
            # Else a destination that says nothing to the upstream would see who is behind it.
            self._refuse("no upstream has answered")
        elif upstream.host:
            handshake = connect_handshake(upstream, self._endpoint())
            self._connector.dialer.dial(upstream, handshake, self._ended)
        elif self._fake and upstream.scheme is DIRECT:
            self._connector.destinations.look_up(
                self._fake.name, self._family, self._destination[1], self._found
            )
        elif self._fake:
            self._refuse("dropped")
        else:
            self._connector.relays.opening.discard(self)
            self._connector.open_by(upstream, self._client, self._family, self._destination)

    def _endpoint(self) -> HostPort:
        host, port = self._destination[:2]
        return HostPort(self._fake.name if self._fake else host.partition("%")[0], port)

    def _found(self, targets: Sequence[SocketAddress]) -> None:
        if targets:
            self._connector.dialer.dial_directly(targets, self._ended)
        else:
            self._refuse("the name is not found")

    def _ended(self, dial: Dial) -> None:
        connector = self._connector
        if dial.sock:
            self._join(dial, dial.sock)
        elif dial.refused or not dial.upstream.host:
            self._refuse(f"{dial.upstream}: {dial.failure}")
        elif dial.exhausted:
            connector.throttle.warning("refused, there is no socket", dial.failure)
            self._refuse(dial.failure)
        else:
            if dial.unanswered:
                self._unanswered = True
            else:
                connector.selector.failed(dial.upstream)
            connector.throttle.warning(f"{dial.upstream} failed", dial.failure)
            connector.relays.reactor.soon(self.next)

    def _refuse(self, why: str) -> None:
        self._connector.relays.opening.discard(self)
        fake, to = self._fake, self._destination
        log.debug("tcp %s: %s", show_both(fake, to) if fake else show(to), why)
        reset(self._client)
        if fake:
            self._connector.destinations.leases.release(fake)

    def _join(self, dial: Dial, sock: Socket) -> None:
        relays = self._connector.relays
        relays.opening.discard(self)
        up = relays.join(self._client, sock, dial.handshake.rest)
        if self._fake:
            relays.on_close[up] = partial(self._connector.destinations.leases.release, self._fake)
        if dial.tunnel:
            dial.tunnel.on_fail = up.abort
        down = up.twin
        down.hung_up = dial.hung_up
        relays.reactor.register(up.fd, up.on_event)
        relays.reactor.replace_handler(down.fd, down.on_event)
        if down.buffer or down.hung_up or not dial.upstream.host:
            down.pump()  # The event was the dial's, and does not come again.
        if up.state is not CLOSED:
            up.pump()
