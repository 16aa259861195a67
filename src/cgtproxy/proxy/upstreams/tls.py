"""TLS to an upstream, in a form that the relays need not know of.

The relay talks to one end of a socket pair; the tunnel carries between the other end and the
upstream. That costs one more copy, for `https://` alone.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from enum import Enum, auto
from select import EPOLLHUP
from typing import NamedTuple

from cgtproxy.errors import CgtproxyError, ExitCode
from cgtproxy.proxy.io.keepalive import keep_alive
from cgtproxy.proxy.io.reactor import FAILED, Reactor
from cgtproxy.proxy.io.sockets import Socket, reset
from cgtproxy.runtime.event_loop import Callback

_CHUNK = 1 << 16
_DONTWAIT = int(socket.MSG_DONTWAIT)


class AuthorityError(CgtproxyError):
    """A file of certificate authorities (`ca-file`) cannot be read."""

    exit_code = ExitCode.CONFIG


def client_context(ca_file: str) -> ssl.SSLContext:
    """A context that accepts certificates of the system's authorities, or of those in `ca_file`.

    Raises AuthorityError.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise AuthorityError(f"cannot read certificates from {ca_file}: {error}") from error


class TlsClient(NamedTuple):
    """How a server proves itself: by a certificate for `host` that `context` accepts."""

    context: ssl.SSLContext
    host: str


class _State(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    CLOSED = auto()


class _Half(Enum):
    """One direction of an open tunnel."""

    OPEN = auto()
    ENDED = auto()  # its source has sent its FIN
    NOTIFIED = auto()  # towards the server: close_notify is written, and the FIN comes after it


class Tunnel:
    """Carries data between `sock`, where it is encrypted, and `inner`, where it is not.

    If that fails, both are closed, `failure` says why, and `on_fail` is called.
    """

    def __init__(self, reactor: Reactor, sock: Socket, inner: Socket, client: TlsClient) -> None:
        self.sock = sock
        self.failure = ""
        self.on_fail: Callback | None = None
        self._reactor = reactor
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = client.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=client.host
        )
        self._state = _State.HANDSHAKE
        self._from_sock = self._from_inner = _Half.OPEN
        self._to_sock = self._to_inner = b""
        self._on_ready: Callback | None = None

    def start(self, on_ready: Callback) -> None:
        """Begin the TLS handshake. `on_ready` is called by Reactor.soon() after its success."""
        self._on_ready = on_ready
        keep_alive(self.sock)
        self._inner.setblocking(False)
        self._reactor.register(self._inner.fileno(), self._on_inner)
        # registered by the dial already, for the same events
        self._reactor.replace_handler(self.sock.fileno(), self._on_event)
        self._on_event(0)

    def _on_inner(self, mask: int) -> None:
        if mask & EPOLLHUP:  # the other end is closed: nobody is there to be told anything
            self._to_inner = b""
            if self._from_sock is _Half.OPEN:
                self._fail("given up")
        self._on_event(mask)

    def _on_event(self, mask: int) -> None:
        if mask & FAILED:
            self._fail("the connection was reset")
        try:
            while self._state is not _State.CLOSED and self._step():
                pass
        except ssl.SSLError as error:
            self._fail(getattr(error, "verify_message", "") or error.reason or "TLS failed")
        except OSError as error:
            self._fail(error.strerror or "the connection failed")

    def _step(self) -> bool:
        """Whether anything moved."""
        moved = self._read_sock()
        if self._state is _State.HANDSHAKE:
            self._shake_hands()
        if self._state is _State.OPEN:
            moved |= self._decrypt()
            moved |= self._encrypt()
            self._say_the_end()
        moved |= self._write_sock()
        both_ended = self._from_sock is not _Half.OPEN and self._from_inner is not _Half.OPEN
        if both_ended and not (self._to_sock or self._to_inner):
            self._close()
        return moved

    def _read_sock(self) -> bool:
        if self._from_sock is not _Half.OPEN or self._to_inner or self._incoming.pending:
            return False
        try:
            data = self.sock.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
            if self._state is _State.HANDSHAKE:
                self._fail("it closed the connection")
                return False
            self._end_of_sock()
        return True

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._state = _State.OPEN
        if self._on_ready:
            self._reactor.soon(self._on_ready)
            self._on_ready = None

    def _decrypt(self) -> bool:
        if not self._to_inner and self._from_sock is _Half.OPEN:
            try:
                self._to_inner = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                return False
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._to_inner = b""
            if not self._to_inner:
                self._end_of_sock()
                return True
        if not self._to_inner:
            return False
        try:
            sent = self._inner.send(self._to_inner, _DONTWAIT)
        except BlockingIOError:
            return False
        self._to_inner = self._to_inner[sent:]
        return True

    def _end_of_sock(self) -> None:
        if self._from_sock is _Half.OPEN:
            self._from_sock = _Half.ENDED
            self._inner.shutdown(socket.SHUT_WR)

    def _encrypt(self) -> bool:
        if self._from_inner is not _Half.OPEN or self._to_sock:
            return False
        try:
            data = self._inner.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return False
        if data:
            self._tls.write(data)
        else:
            self._from_inner = _Half.ENDED
        return True

    def _say_the_end(self) -> None:
        """close_notify: our half is over (RFC 8446, section 6.1).

        unwrap() goes on to wait for the other side's, and loses what it reads before that: so
        there must be nothing to read.
        """
        unread = self._to_inner or self._incoming.pending or self._tls.pending()
        may_be_lost = self._from_sock is _Half.OPEN and unread
        if self._from_inner is _Half.ENDED and not may_be_lost:
            self._from_inner = _Half.NOTIFIED
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()

    def _write_sock(self) -> bool:
        self._to_sock = self._to_sock or self._outgoing.read()
        if not self._to_sock:
            return False
        try:
            sent = self.sock.send(self._to_sock, _DONTWAIT)
        except BlockingIOError:
            return False
        self._to_sock = self._to_sock[sent:]
        all_sent = not self._to_sock and not self._outgoing.pending
        if self._from_inner is _Half.NOTIFIED and all_sent:
            self.sock.shutdown(socket.SHUT_WR)
        return True

    def _fail(self, why: str) -> None:
        if self._state is not _State.CLOSED:
            self.failure = why
            reset(self._sock_of_closing())
            self._inner.close()
            if self.on_fail:
                self.on_fail()

    def _close(self) -> None:
        self._sock_of_closing().close()
        self._inner.close()

    def _sock_of_closing(self) -> Socket:
        self._state = _State.CLOSED
        self._reactor.forget(self.sock.fileno())
        self._reactor.forget(self._inner.fileno())
        return self.sock
