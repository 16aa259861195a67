"""A client's way to one destination through a SOCKS5 association."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cgtproxy.proxy.protocols.socks5 import Endpoint, udp_header
from cgtproxy.proxy.sockets import Address, Socket, spoofing

if TYPE_CHECKING:
    from cgtproxy.proxy.udp.socks import SocksSession

_BUSY = 4  # datagrams, after which a way gets a socket of its own towards the client
_ROUNDS = 64  # datagrams, before others get their turn


class Way:
    """From the session's client to one destination; the way back is the session's."""

    __slots__ = ("count", "destination", "header", "idle", "inner", "session")

    def __init__(self, session: SocksSession, destination: Address) -> None:
        self.session = session
        self.destination = destination
        self.header = udp_header(Endpoint(destination[0].partition("%")[0], destination[1]))
        self.count = self.idle = 0
        self.inner: Socket | None = None  # towards the client, when the way is busy

    def send(self, data: memoryview) -> None:
        """A datagram that came to the listener."""
        assert self.session.relay
        self.idle = 0
        self.count += 1
        with contextlib.suppress(OSError):
            self.session.relay.sendmsg((self.header, data))
        if self.count == _BUSY:
            self._promote()

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
        session = self.session
        if self.inner is None or session.relay is None:
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
                session.relay.send(view[: begin + count])
        session.sessions.reactor.soon(lambda: self._on_inner(0))

    def close(self) -> None:
        if self.inner:
            self.session.sessions.reactor.forget(self.inner.fileno())
            self.inner.close()
            self.inner = None
