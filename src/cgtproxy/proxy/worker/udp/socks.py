"""UDP through a SOCKS5 server: one association for each client, but others for names.

The server sees one source for all destinations of a client; whether anybody may answer to it (full
cone) is up to the server. A name needs an association of its own, as answers may come from whatever
address the name has at the server. A flow of more than a few datagrams gets a connected socket
towards the client, so that the kernel finds it by itself.
"""

from __future__ import annotations

from contextlib import suppress

from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import AF_INET, AF_INET6, Address
from cgtproxy.proxy.io.sockets import Socket, spoofing
from cgtproxy.proxy.protocols.handshake import HostPort
from cgtproxy.proxy.protocols.socks5 import (
    DOMAIN,
    IPV4,
    IPV6,
    parse_datagram,
    udp_header,
)
from cgtproxy.proxy.worker.udp.association import Associate, Association
from cgtproxy.proxy.worker.udp.direct import DirectSession
from cgtproxy.proxy.worker.udp.flows import BUSY_AFTER, ClientSession, DestinationPolicy
from cgtproxy.proxy.worker.udp.sessions import Sessions

_HEADERS = {IPV4: 10, IPV6: 22}  # bytes
_ROUNDS = 64  # datagrams, before others get their turn


class SocksSession(ClientSession["SocksFlow"]):
    """A client's datagrams through a SOCKS5 server."""

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
            flow.association = self._associate(flow.receive, self._end, self._go_direct)
        else:
            if self._shared is None:
                self._shared = self._associate(self._receive, self._end, self._go_direct)
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

    def _go_direct(self) -> None:
        """Leave the client, with the datagrams that wait, to a session without upstreams."""
        waiting = [
            (sockaddr, data)
            for sockaddr, flow in self.flows.items()
            for header, data in flow.association.waiting
            if header == flow.header
        ]
        self.close()
        try:
            session = DirectSession(self.sessions, self._policy, self.family, self.client)
        except OSError as error:
            self.sessions.no_socket(error.strerror)
            return
        self.sessions.replace(self.client, self, session)
        for sockaddr, data in waiting:
            session.forward(sockaddr, memoryview(data))

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
        """Find answers for `flow` no more: it ends."""
        self._by_header.pop(flow.header, None)

    def close(self) -> None:
        """End all flows and the shared association."""
        super().close()
        if self._shared:
            self._shared.close()
            self._shared = None


class SocksFlow:
    """Datagrams from the session's client to one destination.

    `idle` counts sweeps without any. `fake` is the name for which `destination` stands, if any:
    then `association` is the flow's own, and its answers come to receive(). Else it is shared, and
    the answers come to the session. `inner` is the socket towards the client of a busy flow.
    """

    __slots__ = (
        "association",
        "count",
        "destination",
        "fake",
        "header",
        "idle",
        "inner",
        "session",
    )
    association: Association

    def __init__(self, session: SocksSession, destination: Address, fake: FakeName | None) -> None:
        self.session = session
        self.destination = destination
        self.fake = fake
        host = fake.name if fake else destination[0].partition("%")[0]
        self.header = udp_header(HostPort(host, destination[1]))
        self.count = self.idle = 0
        self.inner: Socket | None = None

    def send(self, data: memoryview) -> None:
        """Send a datagram that came to the listener."""
        self.idle = 0
        if self.association.send(self.header, data):
            self.count += 1
            if self.count == BUSY_AFTER:
                self._connect_inner()

    def receive(self, datagram: memoryview) -> None:
        """Pass an answer on from the fake-ip address, whatever address it is from itself."""
        self.idle = self.session.idle = 0
        parsed = parse_datagram(datagram)
        if parsed is None:
            return
        payload = datagram[parsed[1] :]
        if self.inner:
            with suppress(OSError):
                self.inner.send(payload)
        else:
            session = self.session
            session.sessions.replies.send(session.family, self.destination, session.client, payload)

    def _connect_inner(self) -> None:
        session = self.session
        try:
            inner = spoofing(self.destination, session.family, session.sessions.mark)
        except OSError:  # a server of this host has that address
            return
        try:
            inner.connect(session.client)
        except OSError:
            inner.close()
            return
        self.inner = inner
        session.sessions.reactor.register_datagrams(inner.fileno(), self._on_inner)

    def _on_inner(self, _: int) -> None:
        session, relay = self.session, self.association.relay
        if self.inner is None or relay is None:
            return
        self.idle = session.idle = 0
        view = session.sessions.view
        begin = len(self.header)
        view[:begin] = self.header
        space = view[begin:]
        for _ in range(_ROUNDS):
            try:
                count = self.inner.recv_into(space)
            except BlockingIOError:
                return
            except OSError:
                continue
            with suppress(OSError):
                relay.send(view[: begin + count])
        session.sessions.reactor.soon(lambda: self._on_inner(0))

    def close(self) -> None:
        """Give up the sockets. It is the session that forgets the flow."""
        if self.fake:
            self.association.close()
        else:
            self.session.forget(self)
        if self.inner:
            self.session.sessions.reactor.forget(self.inner.fileno())
            self.inner.close()
            self.inner = None
