"""UDP associations with upstreams (RFC 1928, section 7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.addresses import numeric
from cgtproxy.proxy.io.keepalive import keep_alive
from cgtproxy.proxy.io.reactor import FAILED, READABLE
from cgtproxy.proxy.io.sockets import Socket, datagrams
from cgtproxy.proxy.protocols.handshake import HostPort
from cgtproxy.proxy.upstreams.connection import Connected
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.failover import (
    Commands,
    Connect,
    Failed,
    Failover,
    GoDirect,
    MarkDown,
    Outcome,
    Refuse,
)
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.worker.udp import icmp
from cgtproxy.proxy.worker.udp.sessions import Sessions
from cgtproxy.runtime.event_loop import Callback

_MOST_WAITING = 32  # datagrams, until the association is there
_SIZE = 1 << 16
_ROUNDS = 64  # datagrams, before others get their turn
_UNSPECIFIED = ("0.0.0.0", "::")

Received: TypeAlias = Callable[[memoryview], None]
Ended: TypeAlias = "Callable[[Association], None]"
Associate: TypeAlias = "Callable[[Received, Ended, Callback], Association]"


class Association:
    """A UDP association with the upstream that `failover` finds.

    `relay` is the socket connected to the upstream's UDP port. Until there is one, datagrams are
    kept in `waiting`, each with its SOCKS5 header. `received` is called with each datagram from the
    upstream, `ended` with the association if it ends by itself, and `go_direct` if fail-over says
    that the client's datagrams go directly.
    """

    def __init__(
        self,
        sessions: Sessions,
        dialer: Dialer,
        selector: UpstreamSelector,
        failover: Failover,
        received: Received,
        ended: Ended,
        go_direct: Callback,
    ) -> None:
        self.relay: Socket | None = None
        self.waiting: list[tuple[bytes, bytes]] = []
        self._control: Socket | None = None  # its end is the association's
        self._sessions = sessions
        self._dialer = dialer
        self._selector = selector
        self._failover = failover
        self._received = received
        self._ended = ended
        self._go_direct = go_direct
        self._closed = False
        self._do(failover.start())

    def send(self, header: bytes, data: memoryview) -> bool:
        """Send or keep `data`, or drop it if too much waits; returns whether it was sent."""
        if self.relay is None:
            if len(self.waiting) < _MOST_WAITING:
                self.waiting.append((header, bytes(data)))
            return False
        with suppress(OSError):
            self.relay.sendmsg((header, data))
        return True

    def _do(self, commands: Commands) -> None:
        for command in commands:
            match command:
                case Connect(upstream):
                    self._dialer.associate(upstream, partial(self._associated, upstream))
                case MarkDown(upstream):
                    self._selector.failed(upstream)
                case GoDirect():
                    self._go_direct()
                case Refuse():
                    self._end()

    def _associated(self, upstream: Upstream, end: Connected | Failed) -> None:
        """The end of a dial, which may have outlived this association."""
        if isinstance(end, Failed):
            if not self._closed:
                self._failed(upstream, end)
        elif self._closed:
            end.sock.close()
        else:
            bound = end.handshake.bound
            assert bound
            self._control = end.sock
            keep_alive(end.sock)
            self._sessions.reactor.replace_handler(end.sock.fileno(), self._on_control)
            then = self._end if end.hung_up else partial(self._connect, bound)
            self._sessions.reactor.soon(then)

    def _failed(self, upstream: Upstream, end: Failed) -> None:
        if end.outcome is Outcome.OUT_OF_DESCRIPTORS:
            self._sessions.no_socket(end.reason)
        else:
            what = "failed" if end.outcome is Outcome.UNREACHABLE else "carries no UDP"
            self._sessions.throttle.warning(f"{upstream} {what}", end.reason)
        self._do(self._failover.failed(end))

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
            self._sessions.no_socket(error.strerror)
            self._end()
            return
        self._sessions.reactor.register_datagrams(self.relay.fileno(), self._on_relay)
        for header, data in self.waiting:
            self.send(header, memoryview(data))
        self.waiting.clear()

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
        """End it, without a call of `ended`."""
        if self._closed:
            return
        self._closed = True
        del self._received, self._ended, self._go_direct  # of those who know this one
        for sock in (self.relay, self._control):
            if sock:
                self._sessions.reactor.forget(sock.fileno())
                sock.close()
        self.relay = self._control = None
