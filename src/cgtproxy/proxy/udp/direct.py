"""UDP to the destinations themselves.

A client has one socket for all destinations, so that anybody can answer to the port that it has
there: its NAT is endpoint-independent in mapping and filtering (RFC 4787), as peer-to-peer programs
wish. A destination that gets more than a few datagrams has two sockets of its own on the way, one
towards each side: then the kernel finds them by itself, and no address is touched.
"""

from __future__ import annotations

from cgtproxy.proxy.reactor import FAILED
from cgtproxy.proxy.sockets import (
    Address,
    Socket,
    datagrams,
    datagrams_beside,
    original_destination,
    spoofing,
)
from cgtproxy.proxy.udp.listener import DatagramGate
from cgtproxy.proxy.udp.mmsg import BATCH
from cgtproxy.proxy.udp.sessions import SWEEPS, Sessions

_BUSY = 4  # datagrams, after which a way gets sockets of its own
_SIZE = 1 << 16
_ROUNDS = 4  # batches, before others get their turn


class DirectSession:
    def __init__(self, sessions: Sessions, gate: DatagramGate, family: int, client: Address):
        self.idle = 0
        self.closed = False
        self.sessions = sessions
        self.client = client
        self.family = family
        self.sock = datagrams(family, sessions.mark)
        self._gate = gate
        self._ways: dict[bytes, _Way] = {}
        sessions.reactor.register_datagrams(self.sock.fileno(), self._on_event)

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        self.idle = 0
        way = self._ways.get(sockaddr) or self._open(sockaddr)
        if way:
            way.send(data)

    def _open(self, sockaddr: bytes) -> _Way | None:
        destination = original_destination(self.family, sockaddr)
        if self._gate.refuses(self.family, destination) or not self.sessions.admit():
            return None
        way = self._ways[sockaddr] = _Way(self, destination)
        return way

    def _on_event(self, mask: int) -> None:
        if mask & FAILED:
            self.sessions.messenger.pass_on(self.sock, self.client)
        sessions, sock = self.sessions, self.sock
        while True:
            try:
                count, source = sock.recvfrom_into(sessions.buffer, _SIZE)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error, in its queue by now
            self.idle = 0
            sessions.replies.send(self.family, source, self.client, sessions.view[:count])

    def sweep(self) -> None:
        for sockaddr, way in list(self._ways.items()):
            way.idle += 1
            if way.idle > SWEEPS:
                way.close()
                del self._ways[sockaddr]
                self.sessions.count -= 1

    def close(self) -> None:
        self.closed = True
        for way in self._ways.values():
            way.close()
        self.sessions.count -= len(self._ways)
        self._ways.clear()
        self.sessions.reactor.forget(self.sock.fileno())
        self.sock.close()


class _Way:
    """From the session's client to one destination, and back."""

    __slots__ = ("count", "destination", "idle", "inner", "outer", "session")

    def __init__(self, session: DirectSession, destination: Address) -> None:
        self.session = session
        self.destination = destination
        self.count = 0
        self.idle = 0
        # Towards the client and towards the destination, when it is busy.
        self.inner: Socket | None = None
        self.outer: Socket | None = None

    def send(self, data: memoryview) -> None:
        """A datagram that came to the listener."""
        self.idle = 0
        self.count += 1
        try:
            if self.outer:
                self.outer.send(data)
            else:
                self.session.sock.sendto(data, self.destination)
        except BlockingIOError:
            pass
        except OSError:
            session = self.session
            session.sessions.messenger.pass_on(self.outer or session.sock, session.client)
        if self.count == _BUSY:
            self._promote()

    def _promote(self) -> None:
        session = self.session
        sessions = session.sessions
        try:
            inner = spoofing(self.destination, session.family, sessions.mark)
        except OSError:  # a server of this host has that address
            return
        try:
            inner.connect(session.client)
            outer = datagrams_beside(session.sock, self.destination, sessions.mark)
        except OSError as error:
            inner.close()
            sessions.no_socket(error)
            return
        self.inner, self.outer = inner, outer
        sessions.reactor.register_datagrams(inner.fileno(), self._on_inner)
        sessions.reactor.register_datagrams(outer.fileno(), self._on_outer)

    def _on_inner(self, mask: int) -> None:
        assert self.inner
        assert self.outer
        self._move(self.inner, self.outer, mask)

    def _on_outer(self, mask: int) -> None:
        assert self.inner
        assert self.outer
        if mask & FAILED:
            session = self.session
            session.sessions.messenger.pass_on(self.outer, session.client)
        self._move(self.outer, self.inner, mask)

    def _move(self, source: Socket, sink: Socket, mask: int) -> None:
        self.idle = self.session.idle = 0
        sessions = self.session.sessions
        fds = source.fileno(), sink.fileno()
        for _ in range(_ROUNDS):
            count = sessions.mover.move(*fds)
            if 0 <= count < BATCH:
                return
        sessions.reactor.soon(lambda: self._go_on(source, sink))

    def _go_on(self, source: Socket, sink: Socket) -> None:
        if self.inner:
            self._move(source, sink, 0)

    def close(self) -> None:
        for sock in (self.inner, self.outer):
            if sock:
                self.session.sessions.reactor.forget(sock.fileno())
                sock.close()
        self.inner = self.outer = None
