"""UDP through a SOCKS5 server: one association for each client, but others for names.

The server sees one source for all destinations of a client; whether anybody may answer to it (full
cone) is up to the server. A name needs an association of its own, as answers may come from whatever
address the name has at the server.
"""

from __future__ import annotations

from contextlib import suppress

from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import AF_INET, AF_INET6, Address
from cgtproxy.proxy.protocols.socks5 import DOMAIN, IPV4, IPV6, parse_datagram
from cgtproxy.proxy.worker.udp.association import Associate, Association
from cgtproxy.proxy.worker.udp.flows import ClientSession, DestinationPolicy
from cgtproxy.proxy.worker.udp.sessions import Sessions
from cgtproxy.proxy.worker.udp.socks_flow import SocksFlow

_HEADERS = {IPV4: 10, IPV6: 22}  # bytes


class SocksSession(ClientSession[SocksFlow]):
    def __init__(
        self,
        sessions: Sessions,
        policy: DestinationPolicy,
        family: int,
        client: Address,
        associate: Associate,
    ) -> None:
        super().__init__(sessions, policy, family, client)
        self._associate = associate
        self._shared: Association | None = None
        self._by_header: dict[bytes, SocksFlow] = {}  # those of the shared association

    def _make(self, destination: Address, fake: FakeName | None) -> SocksFlow:
        flow = SocksFlow(self, destination, fake)
        if fake:
            flow.association = self._associate(flow.receive, self._end)
        else:
            if self._shared is None:
                self._shared = self._associate(self._receive, self._end)
            flow.association = self._shared
            self._by_header[flow.header] = flow
        return flow

    def _end(self, association: Association) -> None:
        """The next datagram begins anew, perhaps by another upstream."""
        self.close_flows(lambda flow: flow.association is association)
        if association is self._shared:
            self._shared = None
        if not self.flows:
            self.close()

    def _receive(self, datagram: memoryview) -> None:
        self.idle = 0
        header = bytes(datagram[: _HEADERS.get(datagram[3], 0)]) if len(datagram) > 3 else b""
        flow = self._by_header.get(header)
        if flow and flow.inner:
            with suppress(OSError):
                flow.inner.send(datagram[len(header) :])
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

    def forget(self, flow: SocksFlow) -> None:
        self._by_header.pop(flow.header, None)

    def close(self) -> None:
        super().close()
        if self._shared:
            self._shared.close()
            self._shared = None
