"""Which way the datagrams of a new client go."""

from __future__ import annotations

from functools import partial
from itertools import takewhile

from cgtproxy.config.model import Server
from cgtproxy.config.schemes import UdpSupport
from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.worker.udp.association import Association
from cgtproxy.proxy.worker.udp.direct import DirectSession
from cgtproxy.proxy.worker.udp.flows import DestinationPolicy
from cgtproxy.proxy.worker.udp.sessions import Session, Sessions
from cgtproxy.proxy.worker.udp.socks import SocksSession


class UdpConnector:
    def __init__(
        self,
        server: Server,
        selector: UpstreamSelector,
        dialer: Dialer,
        policy: DestinationPolicy,
        sessions: Sessions,
    ) -> None:
        self._server = server
        self._selector = selector
        self._dialer = dialer
        self._policy = policy
        self._sessions = sessions

    def open(self, family: int, client: Address) -> Session | None:
        """None where the client's datagrams are dropped. Raises OSError."""
        candidates = self._selector.candidates()
        first = candidates[0]
        if first.scheme.udp is UdpSupport.ASSOCIATE:
            alike = list(takewhile(lambda upstream: upstream.scheme is first.scheme, candidates))
            associate = partial(Association, self._sessions, self._dialer, self._selector, alike)
            return SocksSession(self._sessions, self._policy, family, client, associate)
        if first.scheme.udp is UdpSupport.NATIVE or (first.host and self._server.udp == "direct"):
            return DirectSession(self._sessions, self._policy, family, client)
        return None
