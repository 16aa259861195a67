"""UDP through a SOCKS5 server: one association for each client, but others for names.

The server sees one source for all destinations of a client; whether anybody may answer to it (full
cone) is up to the server. A name needs an association of its own, as answers may come from whatever
address the name has at the server.
"""

from __future__ import annotations

from contextlib import suppress

from cgtproxy.proxy.addresses import AF_INET, AF_INET6, Address
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.protocols.socks5 import DOMAIN, IPV4, IPV6, parse_datagram
from cgtproxy.proxy.udp.association import Associate, Association
from cgtproxy.proxy.udp.sessions import Sessions
from cgtproxy.proxy.udp.socks_way import SocksWay
from cgtproxy.proxy.udp.ways import ClientSession, Doors

_HEADERS = {IPV4: 10, IPV6: 22}  # bytes


class SocksSession(ClientSession[SocksWay]):
    def __init__(
        self,
        sessions: Sessions,
        doors: Doors,
        family: int,
        client: Address,
        associate: Associate,
    ) -> None:
        super().__init__(sessions, doors, family, client)
        self._associate = associate
        self._shared: Association | None = None
        self._by_header: dict[bytes, SocksWay] = {}  # those of the shared association

    def _make(self, destination: Address, fake: FakeName | None) -> SocksWay:
        way = SocksWay(self, destination, fake)
        if fake:
            way.association = self._associate(way.receive, self._end)
        else:
            if self._shared is None:
                self._shared = self._associate(self._receive, self._end)
            way.association = self._shared
            self._by_header[way.header] = way
        return way

    def _end(self, association: Association) -> None:
        """The next datagram begins anew, perhaps by another upstream."""
        self.close_ways(lambda way: way.association is association)
        if association is self._shared:
            self._shared = None
        if not self.ways:
            self.close()

    def _receive(self, datagram: memoryview) -> None:
        self.idle = 0
        header = bytes(datagram[: _HEADERS.get(datagram[3], 0)]) if len(datagram) > 3 else b""
        way = self._by_header.get(header)
        if way and way.inner:
            with suppress(OSError):
                way.inner.send(datagram[len(header) :])
        else:
            self._reply(datagram)

    def _reply(self, datagram: memoryview) -> None:
        parsed = parse_datagram(datagram)
        if parsed is None or datagram[3] == DOMAIN:  # a name is no address to answer from
            return
        (host, port), begin = parsed
        if (":" in host) == (self.family == AF_INET6):
            source = (host, port) if self.family == AF_INET else (host, port, 0, 0)
            self.sessions.replies.send(self.family, source, self.client, datagram[begin:])

    def forget(self, way: SocksWay) -> None:
        self._by_header.pop(way.header, None)

    def close(self) -> None:
        super().close()
        if self._shared:
            self._shared.close()
            self._shared = None
