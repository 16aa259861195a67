"""From an accepted connection to a relay: through the upstreams, one after the other."""

from __future__ import annotations

import logging

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.dial import Dial, Dialer, connect_handshake
from cgtproxy.proxy.direct import Direct
from cgtproxy.proxy.protocols.socks5 import Endpoint
from cgtproxy.proxy.relay.tcp import Relays
from cgtproxy.proxy.sockets import Address, Socket, reset, show
from cgtproxy.proxy.throttle import Throttle
from cgtproxy.proxy.upstream import Choice

log = logging.getLogger("cgtproxy")


class UpstreamOpener:
    def __init__(
        self, choice: Choice, dialer: Dialer, direct: Direct, relays: Relays, throttle: Throttle
    ) -> None:
        self.choice = choice
        self.dialer = dialer
        self.direct = direct
        self.relays = relays
        self.throttle = throttle

    def open(self, client: Socket, family: int, destination: Address) -> None:
        if self.choice.always:
            self.open_by(self.choice.always, client, family, destination)
        else:
            _Attempts(self, client, family, destination).next()

    def open_by(self, upstream: Upstream, client: Socket, family: int, to: Address) -> None:
        """By an upstream that is nowhere else."""
        if upstream.scheme == "direct":
            self.direct.open(client, family, to)
        else:
            reset(client)


class _Attempts:
    """The upstreams that are left to be tried for one connection."""

    def __init__(
        self, opener: UpstreamOpener, client: Socket, family: int, destination: Address
    ) -> None:
        self._opener = opener
        self._client = client
        self._family = family
        self._destination = destination
        self._candidates = opener.choice.candidates()

    def next(self) -> None:
        if not self._candidates:
            log.debug("tcp %s: no upstream takes it", show(self._destination))
            reset(self._client)
            return
        upstream = self._candidates.pop(0)
        if not upstream.host:
            self._opener.open_by(upstream, self._client, self._family, self._destination)
            return
        host, port = self._destination[:2]
        handshake = connect_handshake(upstream, Endpoint(host.partition("%")[0], port))
        self._opener.relays.opening += 1
        self._opener.dialer.dial(upstream, handshake, self._ended)

    def _ended(self, dial: Dial) -> None:
        opener = self._opener
        opener.relays.opening -= 1
        if dial.sock:
            self._join(dial, dial.sock)
        elif dial.refused:
            log.debug("tcp %s: %s: %s", show(self._destination), dial.upstream, dial.failure)
            reset(self._client)
        else:
            opener.choice.failed(dial.upstream)
            opener.throttle.warning(f"{dial.upstream} failed", dial.failure)
            opener.relays.reactor.soon(self.next)

    def _join(self, dial: Dial, sock: Socket) -> None:
        relays = self._opener.relays
        up = relays.join(self._client, sock, dial.handshake.rest)
        down = up.twin
        down.hung_up = dial.hung_up
        relays.reactor.register(up.fd, up.on_event)
        # Its readiness was reported to the dial already, and will not be again.
        down.pump()
        if not up.closed:
            up.pump()
