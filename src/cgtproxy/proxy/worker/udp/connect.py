"""Opening a session for a new client: through an upstream, or directly."""

from __future__ import annotations

from functools import partial

from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.failover import Connect, Failover, GoDirect
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.worker.udp.association import Association, Ended, Received
from cgtproxy.proxy.worker.udp.direct import DirectSession
from cgtproxy.proxy.worker.udp.flows import DestinationPolicy
from cgtproxy.proxy.worker.udp.sessions import Session, Sessions
from cgtproxy.proxy.worker.udp.socks import SocksSession
from cgtproxy.runtime.event_loop import Callback


class UdpConnector:
    """Opens the sessions of one TPROXY's clients."""

    def __init__(
        self,
        selector: UpstreamSelector,
        dialer: Dialer,
        policy: DestinationPolicy,
        sessions: Sessions,
    ) -> None:
        self._selector = selector
        self._dialer = dialer
        self._policy = policy
        self._sessions = sessions

    def open(self, family: int, client: Address) -> Session | None:
        """The session of a new client; None if its datagrams are dropped. Raises OSError."""
        selector = self._selector
        # All associations of a session take the same upstream, unless that fails meanwhile.
        failover = partial(Failover, selector.server, selector.candidates(), udp=True)

        def associate(received: Received, ended: Ended, go_direct: Callback) -> Association:
            return Association(
                self._sessions, self._dialer, selector, failover(), received, ended, go_direct
            )

        (first,) = failover().start()
        if isinstance(first, Connect):
            return SocksSession(self._sessions, self._policy, family, client, associate)
        if isinstance(first, GoDirect):
            return DirectSession(self._sessions, self._policy, family, client)
        return None
