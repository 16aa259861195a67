"""Connecting to a server, up to the end of its handshake.

A dial is in one of these states:

    CONNECTING → SECURING (with TLS) → GREETING → ESTABLISHED
    RESUMING → ESTABLISHED
    any → CONNECTING, with the next of several addresses; or FAILED

RESUMING is GREETING on an idle connection. Should that have been closed, the dial begins anew.
"""

from __future__ import annotations

import os
import socket
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from cgtproxy.proxy.io.addresses import SocketAddress, is_loopback
from cgtproxy.proxy.io.reactor import FAILED, HUNG_UP, READABLE, WRITABLE
from cgtproxy.proxy.io.sockets import Socket, connect, leave_unpaced, outgoing
from cgtproxy.proxy.protocols.handshake import Handshake, HandshakeError
from cgtproxy.proxy.upstreams.connection import Connected, Destination, Done, Environment
from cgtproxy.proxy.upstreams.failover import OUTCOMES, Failed, Outcome

if TYPE_CHECKING:
    from cgtproxy.proxy.upstreams.tls import Tunnel

_READ = 4096  # bytes
_TIMEOUT = 2.0  # seconds for an address to take the connection, while there are others


class _State(Enum):
    CONNECTING = auto()  # or about to, if there is no socket
    SECURING = auto()
    GREETING = auto()
    RESUMING = auto()
    ESTABLISHED = auto()
    FAILED = auto()


# Compared at each event, and a global is found faster than a member of an Enum.
_CONNECTING, _SECURING, _GREETING, _RESUMING, _ESTABLISHED, _FAILED = _State


class Dial:
    """One attempt to connect. It is begun by start() or resume(), once."""

    def __init__(
        self, environment: Environment, destination: Destination, handshake: Handshake, on_end: Done
    ) -> None:
        self._environment = environment
        self._destination = destination
        self._handshake = handshake
        self._on_end = on_end
        self._state = _CONNECTING
        self._left: list[SocketAddress] = []
        self._sock: Socket | None = None
        self._tunnel: Tunnel | None = None
        self._hung_up = False
        self._silent = False  # at one address at least

    def start(self) -> None:
        """Begin. As this makes a socket, it must not be called from a handler."""
        self._left = list(self._destination.addresses)
        self._environment.deadlines.add(self)
        self._connect()

    def resume(self, kept: Connected) -> None:
        """Begin with a connection that was kept ready. A handshake that is done needs no more."""
        environment = self._environment
        self._state = _RESUMING
        self._sock, self._tunnel, self._hung_up = kept.sock, kept.tunnel, kept.hung_up
        environment.deadlines.add(self)
        environment.reactor.replace_handler(kept.sock.fileno(), self._on_event)
        if self._handshake.done:
            environment.reactor.soon(self._establish)
        else:
            self._limit_retransmissions(_TIMEOUT)
            self._send(self._handshake.resume())

    def expire(self) -> None:
        """Give up, all of it: there is no more time."""
        if self._state is not _FAILED:
            self._left.clear()
            self._give_up(self._how_lost(), "no answer in time")

    def _connect(self) -> None:
        if self._state is not _CONNECTING:  # its time was up before its turn came
            return
        reactor = self._environment.reactor
        address = self._left.pop(0)
        try:
            self._sock = sock = outgoing(address.family, self._environment.mark)
        except OSError as error:
            self._give_up(Outcome.OUT_OF_DESCRIPTORS, error.strerror or "no socket")
            return
        if is_loopback(address.address[0]):
            leave_unpaced(sock)
        if failure := connect(sock, address.address):
            self._lose(failure)
            return
        reactor.register(sock.fileno(), self._on_event)
        if self._left:
            reactor.after(_TIMEOUT, partial(self._hurry, sock))
        if self._destination.greets_at_once and not self._handshake.done:
            self._greet_at_once(sock)

    def _greet_at_once(self, sock: Socket) -> None:
        """A server on this host has accepted by now; where it has not, an event will tell."""
        try:
            sock.send(self._handshake.start(), socket.MSG_DONTWAIT)
            self._state = _GREETING
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error.strerror or "no connection")

    def _hurry(self, sock: Socket) -> None:
        if sock is self._sock and self._state is _CONNECTING:
            self._lose("no answer in time")

    def _on_event(self, mask: int) -> None:
        assert self._sock
        if mask & HUNG_UP:
            self._hung_up = True
        if mask & FAILED:
            self._lose(os.strerror(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
        elif mask & WRITABLE and self._state is _CONNECTING:
            if self._destination.tls:
                self._state = _SECURING
                self._environment.reactor.soon(self._secure)
            else:
                self._greet()
        elif mask & READABLE:
            self._read()

    def _secure(self) -> None:
        """From here on the handshake, and later the relay, talk to the tunnel's other end."""
        if self._state is not _SECURING:
            return
        reactor, tls = self._environment.reactor, self._destination.tls
        assert self._sock and tls
        try:
            inside, outside = socket.socketpair()
        except OSError as error:
            self._give_up(Outcome.OUT_OF_DESCRIPTORS, error.strerror or "no socket")
            return
        inside.setblocking(False)
        from cgtproxy.proxy.upstreams.tls import Tunnel

        self._tunnel = Tunnel(reactor, self._sock, outside, tls)
        self._sock = inside
        reactor.register(inside.fileno(), self._on_event)
        self._tunnel.start(self._greet)

    def _greet(self) -> None:
        if self._state in (_CONNECTING, _SECURING):
            self._state = _GREETING
            self._send(self._handshake.start())

    def _read(self) -> None:
        while self._sock:
            try:
                data = self._sock.recv(_READ, socket.MSG_DONTWAIT)
                if not data:
                    why = self._tunnel and self._tunnel.failure
                    self._lose(why or "it closed the connection")
                    return
                answer = self._handshake.receive(data)
            except BlockingIOError:
                return
            except HandshakeError as error:
                self._give_up(OUTCOMES[type(error)], str(error))
                return
            except OSError as error:
                self._lose(error.strerror or "the connection failed")
                return
            self._send(answer)
            if self._handshake.done:
                return

    def _send(self, data: bytes) -> None:
        """Handshakes are far smaller than a socket's buffer."""
        assert self._sock
        try:
            if data and self._sock.send(data) < len(data):
                self._lose("it reads nothing")
                return
        except OSError as error:
            self._lose(error.strerror or "it reads nothing")
            return
        if self._handshake.done:
            self._establish()

    def _how_lost(self) -> Outcome:
        """What it means that there is no connection, or none any more."""
        spoken_to = self._state in (_GREETING, _RESUMING)
        return Outcome.SILENT if spoken_to and self._handshake.asked else Outcome.UNREACHABLE

    def _lose(self, reason: str) -> None:
        outcome = self._how_lost()
        if self._state is _RESUMING and (self._handshake.asked or self._handshake.done):
            self._left = list(self._destination.addresses)
            outcome = Outcome.UNREACHABLE  # it may have been so before it was asked
        self._give_up(outcome, reason)

    def _give_up(self, outcome: Outcome, reason: str) -> None:
        """This address; perhaps there are others."""
        reactor = self._environment.reactor
        if self._sock:
            reactor.drop(self._sock.fileno())
            self._sock.close()
        self._sock = self._tunnel = None
        self._hung_up = False
        self._silent |= outcome is Outcome.SILENT
        if self._left and outcome in (Outcome.UNREACHABLE, Outcome.SILENT):
            self._state = _CONNECTING
            reactor.soon(self._connect)
            return
        if self._silent and not outcome.is_final:
            outcome = Outcome.SILENT
        self._state = _FAILED
        reactor.soon(partial(self._end, Failed(outcome, reason)))

    def _establish(self) -> None:
        if self._state not in (_GREETING, _RESUMING):  # it was lost before its turn came
            return
        assert self._sock
        if self._state is _RESUMING:
            self._limit_retransmissions(0)
        self._state = _ESTABLISHED
        self._environment.reactor.forget(self._sock.fileno())
        self._end(Connected(self._sock, self._handshake, self._hung_up, self._tunnel))

    def _end(self, end: Connected | Failed) -> None:
        self._environment.deadlines.remove(self)
        self._on_end(end)

    def _limit_retransmissions(self, seconds: float) -> None:
        """Give up after so long without an acknowledgement; 0: after the system's quarter hour.

        A kept connection may lead nowhere by now, as after a change of the network. A server that
        is there has its kernel acknowledge the request at once, however long the answer takes.
        """
        assert self._sock
        wire = self._tunnel.sock if self._tunnel else self._sock
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
