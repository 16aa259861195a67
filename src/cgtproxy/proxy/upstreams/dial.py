"""Connecting to an upstream, up to the end of its handshake."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.addresses import SocketAddress, is_loopback
from cgtproxy.proxy.io.reactor import FAILED, HUNG_UP, READABLE, WRITABLE
from cgtproxy.proxy.io.sockets import Socket, connect, leave_unpaced, outgoing
from cgtproxy.proxy.protocols.handshake import Handshake, HandshakeError, RefusedError

if TYPE_CHECKING:
    from cgtproxy.proxy.upstreams.dialer import Dialer
    from cgtproxy.proxy.upstreams.tls import Tunnel

_READ = 4096
_TIMEOUT = 2.0  # seconds for an address to take the connection, while there are others

Done = Callable[["Dial"], None]


class Dial:
    """`sock` is the connection in the end; where it is None, `failure` says why.

    `refused`: the upstream works, but does not get through to the destination.
    `unanswered`: it was asked to, and said nothing; whose fault that is nobody can tell.
    `exhausted`: why there was no socket for it, which says nothing of the upstream.
    `hung_up`: the other side has sent its FIN already.
    """

    def __init__(
        self,
        dialer: Dialer,
        upstream: Upstream,
        handshake: Handshake,
        on_end: Done,
        targets: Sequence[SocketAddress],
    ) -> None:
        self.upstream = upstream
        self.handshake = handshake
        self.failure = ""
        self.refused = self.unanswered = self.hung_up = False
        self.exhausted: OSError | None = None
        self.sock: Socket | None = None
        self._dialer = dialer
        self._on_end = on_end
        self._connected = self._over = self._resumed = False
        self.wire: Socket | None = None  # is `sock`, but where there is a tunnel
        self.tunnel: Tunnel | None = None
        self._targets = list(targets)
        if not self._targets:
            self.failure = f"the name {upstream.host} is not found"

    def connect(self) -> None:
        """To the next of the addresses; the last failure counts."""
        if not self._targets:
            self._dialer.reactor.soon(self._end)
            return
        target = self._targets.pop(0)
        try:
            self.sock = self.wire = sock = outgoing(target.family, self._dialer.mark)
        except OSError as error:
            self._exhaust(error)
            return
        if is_loopback(target.address[0]):
            leave_unpaced(sock)
        if failure := connect(sock, target.address):
            self._give_up(failure)
            return
        self._dialer.reactor.register(sock.fileno(), self._on_event)
        if self._targets:
            self._dialer.reactor.after(_TIMEOUT, partial(self._hurry, sock))
        if self.upstream.scheme.greets_at_once and not self.handshake.done:
            self._greet()

    def resume(self, handshake: Handshake, on_end: Done) -> None:
        """Go on where a check has ended. Should the other side be gone unnoticed, begin anew."""
        assert self.sock and self.wire
        self.handshake, self._on_end = handshake, on_end
        self._over, self._resumed = False, True
        self._dialer.deadlines.add(self)
        self._dialer.reactor.replace_handler(self.sock.fileno(), self._on_event)
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_TIMEOUT * 1000))
        self._send(self.handshake.resume())

    def _greet(self) -> None:
        """A server on this host has accepted by now; where it has not, an event will tell."""
        assert self.sock
        try:
            self.sock.send(self.handshake.start(), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._give_up(error.strerror or "no connection")
        else:
            self._connected = True

    def _hurry(self, sock: Socket) -> None:
        if sock is self.sock and not self._connected:
            self._give_up("no answer in time")

    def expire(self) -> None:
        self._targets.clear()
        self._resumed = False
        self._give_up("no answer in time")

    def _on_event(self, mask: int) -> None:
        assert self.sock
        if mask & HUNG_UP:
            self.hung_up = True
        if mask & FAILED:
            self._give_up(os.strerror(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
        elif mask & WRITABLE and not self._connected:
            self._connected = True
            if self.upstream.scheme.tls:
                self._dialer.reactor.soon(self._begin_tls)
            else:
                self._send(self.handshake.start())
        elif mask & READABLE:
            self._read()

    def _begin_tls(self) -> None:
        """From here on the handshake, and later the relay, talk to the tunnel's other end."""
        if self.sock is None:
            return
        self._dialer.reactor.forget(self.sock.fileno())
        context = self._dialer.contexts[self.upstream]
        try:
            inside, outside = socket.socketpair()
        except OSError as error:
            self._exhaust(error)
            return
        inside.setblocking(False)
        from cgtproxy.proxy.upstreams.tls import Tunnel

        self.tunnel = Tunnel(self._dialer.reactor, self.sock, outside, context, self.upstream.host)
        self.sock = inside
        self._dialer.reactor.register(inside.fileno(), self._on_event)
        self.tunnel.start(self._begin_inside)

    def _begin_inside(self) -> None:
        if self.sock:
            self._send(self.handshake.start())

    def _read(self) -> None:
        while self.sock:
            try:
                data = self.sock.recv(_READ, socket.MSG_DONTWAIT)
                if not data:
                    failure = self.tunnel.failure if self.tunnel else ""
                    self._give_up(failure or "it closed the connection")
                    return
                answer = self.handshake.receive(data)
            except BlockingIOError:
                return
            except RefusedError as error:
                self.refused = True
                self._targets.clear()
                self._give_up(str(error))
                return
            except (OSError, HandshakeError) as error:
                self._give_up(str(error))
                return
            self._send(answer)
            if self.handshake.done:
                return

    def _send(self, data: bytes) -> None:
        """Handshakes are far smaller than a socket's buffer."""
        assert self.sock
        try:
            if data and self.sock.send(data) < len(data):
                self._give_up("it reads nothing")
                return
        except OSError as error:
            self._give_up(error.strerror or "it reads nothing")
            return
        if self.handshake.done:
            self._end()

    def _exhaust(self, error: OSError) -> None:
        self.exhausted = error
        self._targets.clear()
        self._give_up(error.strerror or "no socket")

    def _give_up(self, why: str) -> None:
        """This address; perhaps there are others."""
        self.failure = why
        if self._resumed:
            asked = self.handshake.asked
            self._targets = list(self._dialer.targets[self.upstream]) if asked else []
            self._resumed = False
        else:
            self.unanswered |= self._connected and self.handshake.asked
        if self.sock:
            self._dialer.reactor.drop(self.sock.fileno())
            self.sock.close()
            self.sock = None
        self._connected = self.hung_up = False
        if self._targets:
            self._dialer.reactor.soon(self.connect)
        else:
            self._dialer.reactor.soon(self._end)

    def _end(self) -> None:
        if self._over:  # its time was up while it was giving up
            return
        self._over = True
        self._dialer.deadlines.remove(self)
        if self.sock:
            self._dialer.reactor.forget(self.sock.fileno())
            if self._resumed and self.wire:
                self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        self._on_end(self)
