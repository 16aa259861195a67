"""A SOCKS5 server's readiness to pass datagrams on (RFC 1928, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.addresses import numeric
from cgtproxy.proxy.io.keepalive import keep_alive
from cgtproxy.proxy.io.reactor import FAILED, READABLE
from cgtproxy.proxy.io.sockets import Socket, datagrams
from cgtproxy.proxy.protocols.socks5 import HostPort, Socks5
from cgtproxy.proxy.upstreams.dial import Dial
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.worker.udp import icmp
from cgtproxy.proxy.worker.udp.sessions import Sessions

_MOST_WAITING = 32  # datagrams, until the association is there
_SIZE = 1 << 16
_ROUNDS = 64  # datagrams, before others get their turn
_UNSPECIFIED = ("0.0.0.0", "::")

Received: TypeAlias = Callable[[memoryview], None]
Ended: TypeAlias = "Callable[[Association], None]"
Associate: TypeAlias = "Callable[[Received, Ended], Association]"


class Association:
    """`relay` is the socket connected to the server's UDP port, once that is known.

    `received` is called with each datagram from there, `ended`, with the association, if it ends by
    itself.
    """

    def __init__(
        self,
        sessions: Sessions,
        dialer: Dialer,
        selector: UpstreamSelector,
        upstreams: Sequence[Upstream],
        received: Received,
        ended: Ended,
    ) -> None:
        self.relay: Socket | None = None
        self._control: Socket | None = None  # its end is the association's
        self._sessions = sessions
        self._dialer = dialer
        self._selector = selector
        self._received = received
        self._ended = ended
        self._closed = False
        self._upstreams = list(upstreams)  # those that are left to be tried
        self._waiting: list[tuple[bytes, bytes]] = []
        self._associate()

    def send(self, header: bytes, data: memoryview) -> bool:
        """Whether it went out; else it waits, or is lost."""
        if self.relay is None:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append((header, bytes(data)))
            return False
        with suppress(OSError):
            self.relay.sendmsg((header, data))
        return True

    def _associate(self) -> None:
        if not self._upstreams:
            self._end()
            return
        self._dialer.associate(self._upstreams.pop(0), self._associated)

    def _associated(self, dial: Dial) -> None:
        """The end of a dial, which may have outlived this association."""
        handshake = dial.handshake
        assert isinstance(handshake, Socks5)
        if self._closed:
            if dial.sock:
                dial.sock.close()
        elif dial.sock and handshake.bound:
            self._control = dial.sock
            keep_alive(dial.sock)
            self._sessions.reactor.replace_handler(dial.sock.fileno(), self._on_control)
            then = self._end if dial.hung_up else partial(self._connect, handshake.bound)
            self._sessions.reactor.soon(then)
        elif dial.exhausted:
            self._sessions.no_socket(dial.exhausted)
            self._end()
        else:
            # ssh(1) closes the connection instead of saying that it carries none.
            if not (dial.refused or dial.unanswered):
                self._selector.failed(dial.upstream)
            self._sessions.throttle.warning(f"{dial.upstream} carries no UDP", dial.failure)
            self._sessions.reactor.soon(self._associate)

    def _connect(self, bound: HostPort) -> None:
        if self._closed:
            return
        assert self._control
        # RFC 1928 does not say so, but servers that serve at all addresses tell none.
        host = self._control.getpeername()[0] if bound.host in _UNSPECIFIED else bound.host
        try:
            family, address = numeric(host, bound.port)  # a name would be looked up, blocking
            self.relay = datagrams(family, self._sessions.mark)
            self.relay.connect(address)
        except OSError as error:
            self._sessions.no_socket(error)
            self._end()
            return
        self._sessions.reactor.register_datagrams(self.relay.fileno(), self._on_relay)
        for header, data in self._waiting:
            self.send(header, memoryview(data))
        self._waiting.clear()

    def _on_control(self, mask: int) -> None:
        if mask & (READABLE | FAILED):
            self._end()  # nothing is to come here, but the end

    def _on_relay(self, mask: int) -> None:
        assert self.relay
        if mask & FAILED:
            icmp.take(self.relay)
        buffer, view = self._sessions.buffer, self._sessions.view
        for _ in range(_ROUNDS):
            try:
                count = self.relay.recv_into(buffer, _SIZE)
            except BlockingIOError:
                return
            except OSError:
                continue
            self._received(view[:count])
        self._sessions.reactor.soon(self._go_on)

    def _go_on(self) -> None:
        if self.relay:
            self._on_relay(0)

    def _end(self) -> None:
        if not self._closed:
            ended = self._ended
            self.close()
            ended(self)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        del self._received, self._ended  # of those who know this one
        for sock in (self.relay, self._control):
            if sock:
                self._sessions.reactor.forget(sock.fileno())
                sock.close()
        self.relay = self._control = None
