"""Which way the datagrams of a new client go."""

from __future__ import annotations

from functools import partial
from itertools import takewhile

from cgtproxy.config.model import Server
from cgtproxy.proxy.addresses import Address
from cgtproxy.proxy.dialer import Dialer
from cgtproxy.proxy.udp.association import Association
from cgtproxy.proxy.udp.direct import DirectSession
from cgtproxy.proxy.udp.sessions import Session, Sessions
from cgtproxy.proxy.udp.socks import SocksSession
from cgtproxy.proxy.udp.ways import Doors
from cgtproxy.proxy.upstream import Choice


class UdpOpener:
    def __init__(
        self, server: Server, choice: Choice, dialer: Dialer, doors: Doors, sessions: Sessions
    ) -> None:
        self._server = server
        self._choice = choice
        self._dialer = dialer
        self._doors = doors
        self._sessions = sessions

    def open(self, family: int, client: Address) -> Session | None:
        """None where the client's datagrams are dropped. Raises OSError."""
        candidates = self._choice.candidates()
        first = candidates[0]
        if first.scheme == "socks5":
            alike = list(takewhile(lambda upstream: upstream.scheme == "socks5", candidates))
            associate = partial(Association, self._sessions, self._dialer, self._choice, alike)
            return SocksSession(self._sessions, self._doors, family, client, associate)
        if first.scheme == "direct" or (first.host and self._server.udp == "direct"):
            return DirectSession(self._sessions, self._doors, family, client)
        return None
