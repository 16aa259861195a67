"""A client's way to one destination through a SOCKS5 association."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.io.sockets import Socket, spoofing
from cgtproxy.proxy.protocols.socks5 import HostPort, parse_datagram, udp_header
from cgtproxy.proxy.worker.udp.association import Association

if TYPE_CHECKING:
    from cgtproxy.proxy.worker.udp.socks import SocksSession

_BUSY = 4  # datagrams, after which a way gets a socket of its own towards the client
_ROUNDS = 64  # datagrams, before others get their turn


class SocksFlow:
    """From the session's client to one destination.

    With a fake-ip address `association` is the way's own; else the way back is the session's.
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
        self.inner: Socket | None = None  # towards the client, when the way is busy

    def send(self, data: memoryview) -> None:
        self.idle = 0
        if self.association.send(self.header, data):
            self.count += 1
            if self.count == _BUSY:
                self._promote()

    def receive(self, datagram: memoryview) -> None:
        """Whatever address an answer is from, the client has asked the fake-ip one."""
        self.idle = self.session.idle = 0
        parsed = parse_datagram(datagram)
        if parsed is None:
            return
        payload = datagram[parsed[1] :]
        if self.inner:
            with contextlib.suppress(OSError):
                self.inner.send(payload)
        else:
            session = self.session
            session.sessions.replies.send(session.family, self.destination, session.client, payload)

    def _promote(self) -> None:
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
            with contextlib.suppress(OSError):
                relay.send(view[: begin + count])
        session.sessions.reactor.soon(lambda: self._on_inner(0))

    def close(self) -> None:
        if self.fake:
            self.association.close()
        else:
            self.session.forget(self)
        if self.inner:
            self.session.sessions.reactor.forget(self.inner.fileno())
            self.inner.close()
            self.inner = None
