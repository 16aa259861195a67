"""Dialing upstreams, or destinations directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.protocols.handshake import Handshake, NoHandshake
from cgtproxy.proxy.upstreams.connection import Connected, Destination, Done, Environment
from cgtproxy.proxy.upstreams.dial import Dial
from cgtproxy.proxy.upstreams.failover import Failed, Outcome
from cgtproxy.proxy.upstreams.schemes import associate_handshake

if TYPE_CHECKING:  # ssl takes 2 MB
    from cgtproxy.proxy.upstreams.tls import TlsClient


class Dialer:
    """Dials the upstreams of `targets`, which has their addresses; none for an unknown name.

    From the first dial on, `targets` must not change. `on_end` is called once, later, with the
    outcome. As sockets are made, no method may be called from a handler of the reactor.
    """

    def __init__(
        self,
        reactor: Reactor,
        deadlines: Deadlines,
        mark: int,
        targets: Mapping[Upstream, Sequence[SocketAddress]],
    ) -> None:
        self.reactor = reactor
        self.targets = targets
        self._environment = Environment(reactor, deadlines, mark)
        self._tls = {u: _tls_client(u) for u in targets if u.scheme.tls}

    @cached_property
    def _destinations(self) -> dict[Upstream, Destination]:
        return {
            u: Destination(addresses, u.scheme.greets_at_once, self._tls.get(u))
            for u, addresses in self.targets.items()
        }

    def dial(self, upstream: Upstream, handshake: Handshake, on_end: Done) -> None:
        """Connect to `upstream` and go through `handshake`."""
        destination = self._destinations[upstream]
        if destination.addresses:
            Dial(self._environment, destination, handshake, on_end).start()
        else:
            reason = f"the name {upstream.host} is not found"
            self.reactor.soon(partial(on_end, Failed(Outcome.UNREACHABLE, reason)))

    def resume(
        self, upstream: Upstream, kept: Connected, handshake: Handshake, on_end: Done
    ) -> None:
        """As dial(), on the idle connection `kept`."""
        Dial(self._environment, self._destinations[upstream], handshake, on_end).resume(kept)

    def associate(self, upstream: Upstream, on_end: Done) -> None:
        """As dial(), to ask the upstream for a relay of datagrams."""
        self.dial(upstream, associate_handshake(upstream), on_end)

    def dial_directly(self, addresses: Sequence[SocketAddress], on_end: Done) -> None:
        """Connect to the first of `addresses` that takes the connection, without an upstream."""
        Dial(self._environment, Destination(addresses), NoHandshake(), on_end).start()


def _tls_client(upstream: Upstream) -> TlsClient:
    from cgtproxy.proxy.upstreams.tls import TlsClient, client_context

    return TlsClient(client_context(upstream.ca_file), upstream.host)
