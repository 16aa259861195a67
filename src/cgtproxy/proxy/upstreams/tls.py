"""TLS to an upstream, in a form that the relays need not know of.

The relay talks to one end of a socket pair; the tunnel carries between the other end and the
upstream. That costs one more copy, for `https://` alone.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from select import EPOLLHUP

from cgtproxy.errors import CgtproxyError, ExitCode
from cgtproxy.proxy.io.keepalive import keep_alive
from cgtproxy.proxy.io.reactor import FAILED, Reactor
from cgtproxy.proxy.io.sockets import Socket, reset

_CHUNK = 1 << 16
_DONTWAIT = int(socket.MSG_DONTWAIT)


class AuthorityError(CgtproxyError):
    exit_code = ExitCode.CONFIG


def client_context(ca_file: str) -> ssl.SSLContext:
    """Checks certificates, by the system's authorities or those in `ca_file`."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise AuthorityError(f"no certificates can be read from {ca_file}: {error}") from error


class Tunnel:
    """Between `sock`, encrypted, and `inner`. Where it fails both are closed."""

    def __init__(
        self, reactor: Reactor, sock: Socket, inner: Socket, context: ssl.SSLContext, host: str
    ) -> None:
        self.failure = ""
        self.on_fail: Callable[[], None] | None = None
        self._reactor = reactor
        self._sock, self._inner = sock, inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._ready: Callable[[], None] | None = None
        self._to_sock = self._to_inner = b""
        self._sock_ended = self._inner_ended = self._closed = False
        self._shaken = self._notified = False

    def start(self, on_ready: Callable[[], None]) -> None:
        """`on_ready` is called when the certificate is found right."""
        self._ready = on_ready
        keep_alive(self._sock)
        self._inner.setblocking(False)
        self._reactor.register(self._inner.fileno(), self._on_inner)
        # registered by the dial already, for the same events
        self._reactor.replace_handler(self._sock.fileno(), self._on_event)
        self._on_event(0)

    def _on_inner(self, mask: int) -> None:
        if mask & EPOLLHUP:  # the other end is closed: nobody is there to be told anything
            self._to_inner = b""
            if not self._sock_ended:
                self._fail("given up")
        self._on_event(mask)

    def _on_event(self, mask: int) -> None:
        if mask & FAILED:
            self._fail("the connection was reset")
        try:
            while not self._closed and self._step():
                pass
        except ssl.SSLError as error:
            self._fail(getattr(error, "verify_message", "") or error.reason or "TLS failed")
        except OSError as error:
            self._fail(error.strerror or "the connection failed")

    def _step(self) -> bool:
        """Whether anything moved."""
        moved = self._read_sock()
        if not self._shaken:
            self._shake_hands()
        if self._shaken:
            moved |= self._decrypt()
            moved |= self._encrypt()
            self._say_the_end()
        moved |= self._write_sock()
        if self._sock_ended and self._inner_ended and not (self._to_sock or self._to_inner):
            self._close()
        return moved

    def _read_sock(self) -> bool:
        if self._sock_ended or self._to_inner or self._incoming.pending:
            return False
        try:
            data = self._sock.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
            if not self._shaken:
                self._fail("it closed the connection")
                return False
            self._end_of_sock()
        return True

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._shaken = True
        if self._ready:
            self._reactor.soon(self._ready)
            self._ready = None

    def _decrypt(self) -> bool:
        if not self._to_inner and not self._sock_ended:
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
        if not self._sock_ended:
            self._sock_ended = True
            self._inner.shutdown(socket.SHUT_WR)

    def _encrypt(self) -> bool:
        if self._inner_ended or self._to_sock:
            return False
        try:
            data = self._inner.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return False
        if data:
            self._tls.write(data)
        else:
            self._inner_ended = True
        return True

    def _say_the_end(self) -> None:
        """close_notify: our half is over (RFC 8446, section 6.1).

        unwrap() goes on to wait for the other side's, and loses what it reads before that: so
        there must be nothing to read.
        """
        unread = self._to_inner or self._incoming.pending or self._tls.pending()
        if self._inner_ended and not self._notified and (self._sock_ended or not unread):
            self._notified = True
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()

    def _write_sock(self) -> bool:
        self._to_sock = self._to_sock or self._outgoing.read()
        if not self._to_sock:
            return False
        try:
            sent = self._sock.send(self._to_sock, _DONTWAIT)
        except BlockingIOError:
            return False
        self._to_sock = self._to_sock[sent:]
        if self._notified and not self._to_sock and not self._outgoing.pending:
            self._sock.shutdown(socket.SHUT_WR)
        return True

    def _fail(self, why: str) -> None:
        if not self._closed:
            self.failure = why
            reset(self._sock_of_closing())
            self._inner.close()
            if self.on_fail:
                self.on_fail()

    def _close(self) -> None:
        self._sock_of_closing().close()
        self._inner.close()

    def _sock_of_closing(self) -> Socket:
        self._closed = True
        self._reactor.forget(self._sock.fileno())
        self._reactor.forget(self._inner.fileno())
        return self._sock
