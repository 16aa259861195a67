"""UDP through a SOCKS5 server: one association (RFC 1928, section 7) for each client.

The server sees one source for all destinations of a client; whether anybody may answer to it (full
cone) is up to the server.
"""

from __future__ import annotations

import contextlib
import logging

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.dial import Dial, Dialer
from cgtproxy.proxy.protocols.socks5 import (
    ANYWHERE,
    ASSOCIATE,
    IPV4,
    IPV6,
    Endpoint,
    Socks5,
    parse_datagram,
)
from cgtproxy.proxy.reactor import FAILED, READABLE
from cgtproxy.proxy.sockets import (
    AF_INET,
    AF_INET6,
    Address,
    Socket,
    datagrams,
    original_destination,
)
from cgtproxy.proxy.udp import icmp
from cgtproxy.proxy.udp.listener import DatagramGate
from cgtproxy.proxy.udp.sessions import SWEEPS, Sessions
from cgtproxy.proxy.udp.socks_way import Way
from cgtproxy.proxy.upstream import Choice

_MOST_WAITING = 32  # datagrams, until the association is there
_SIZE = 1 << 16
_ROUNDS = 64  # datagrams, before others get their turn
_HEADERS = {IPV4: 10, IPV6: 22}  # bytes
_UNSPECIFIED = ("0.0.0.0", "::")

log = logging.getLogger("cgtproxy")


class SocksSession:
    def __init__(
        self,
        sessions: Sessions,
        gate: DatagramGate,
        family: int,
        client: Address,
        dialer: Dialer,
        choice: Choice,
        upstreams: list[Upstream],
    ) -> None:
        self.idle = 0
        self.closed = False
        self.sessions = sessions
        self.family = family
        self.client = client
        self.relay: Socket | None = None  # connected to the server's UDP port
        self._control: Socket | None = None  # its end is the association's
        self._gate = gate
        self._dialer = dialer
        self._choice = choice
        self._upstreams = upstreams
        self._waiting: list[tuple[Way, bytes]] = []
        self._ways: dict[bytes, Way] = {}
        self._by_header: dict[bytes, Way] = {}
        self._associate()

    def _associate(self) -> None:
        upstream = self._upstreams.pop(0)
        handshake = Socks5(ANYWHERE, upstream.user, upstream.password, ASSOCIATE)
        self._dialer.dial(upstream, handshake, lambda dial: self._associated(dial, handshake))

    def _associated(self, dial: Dial, handshake: Socks5) -> None:
        """The end of a dial, which may have outlived this session."""
        if self.closed:
            if dial.sock:
                dial.sock.close()
        elif dial.sock and handshake.bound:
            self._control = dial.sock
            bound = handshake.bound
            self.sessions.reactor.soon(lambda: self._connect(bound))
        else:
            self._failed(dial)

    def _failed(self, dial: Dial) -> None:
        if not dial.refused:
            self._choice.failed(dial.upstream)
        self.sessions.throttle.warning(f"{dial.upstream} carries no UDP", dial.failure)
        if self._upstreams:
            self.sessions.reactor.soon(self._associate)
        else:
            self.close()

    def _connect(self, bound: Endpoint) -> None:
        if self.closed:
            return
        assert self._control
        # RFC 1928 does not say so, but servers that serve at all addresses tell none.
        host = self._control.getpeername()[0] if bound.host in _UNSPECIFIED else bound.host
        try:
            self.relay = datagrams(AF_INET6 if ":" in host else AF_INET, self.sessions.mark)
            self.relay.connect((host, bound.port))
        except OSError as error:
            self.sessions.no_socket(error)
            self.close()
            return
        self.sessions.reactor.handlers[self._control.fileno()] = self._on_control
        self.sessions.reactor.register_datagrams(self.relay.fileno(), self._on_relay)
        for way, data in self._waiting:
            way.send(memoryview(data))
        self._waiting.clear()

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        self.idle = 0
        way = self._ways.get(sockaddr) or self._open(sockaddr)
        if way is None:
            return
        if self.relay:
            way.send(data)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append((way, bytes(data)))

    def _open(self, sockaddr: bytes) -> Way | None:
        destination = original_destination(self.family, sockaddr)
        if self._gate.refuses(self.family, destination) or not self.sessions.admit():
            return None
        way = self._ways[sockaddr] = Way(self, destination)
        self._by_header[way.header] = way
        return way

    def _on_control(self, mask: int) -> None:
        if mask & (READABLE | FAILED):
            self.close()  # nothing is to come here, but the end

    def _on_relay(self, mask: int) -> None:
        assert self.relay
        if mask & FAILED:
            icmp.take(self.relay)
        buffer, view = self.sessions.buffer, self.sessions.view
        for _ in range(_ROUNDS):
            try:
                count = self.relay.recv_into(buffer, _SIZE)
            except BlockingIOError:
                return
            except OSError:
                continue
            self.idle = 0
            header = bytes(view[: _HEADERS.get(buffer[3], 0)]) if count > 3 else b""
            way = self._by_header.get(header)
            if way and way.inner:
                with contextlib.suppress(OSError):
                    way.inner.send(view[len(header) : count])
            else:
                self._reply(view[:count])
        self.sessions.reactor.soon(self._go_on)

    def _go_on(self) -> None:
        if self.relay:
            self._on_relay(0)

    def _reply(self, datagram: memoryview) -> None:
        parsed = parse_datagram(datagram)
        if parsed is None:
            return
        (host, port), begin = parsed
        if (":" in host) == (self.family == AF_INET6):
            source = (host, port) if self.family == AF_INET else (host, port, 0, 0)
            self.sessions.replies.send(self.family, source, self.client, datagram[begin:])

    def sweep(self) -> None:
        for sockaddr, way in list(self._ways.items()):
            way.idle += 1
            if way.idle > SWEEPS:
                way.close()
                del self._ways[sockaddr], self._by_header[way.header]
                self.sessions.count -= 1

    def close(self) -> None:
        self.closed = True
        for way in self._ways.values():
            way.close()
        self.sessions.count -= len(self._ways)
        self._ways.clear()
        for sock in (self.relay, self._control):
            if sock:
                self.sessions.reactor.forget(sock.fileno())
                sock.close()
        self.relay = self._control = None
