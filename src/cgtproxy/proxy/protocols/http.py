"""HTTP CONNECT (RFC 9110, section 9.3.6), the client's side."""

from __future__ import annotations

import re
from base64 import b64encode

from cgtproxy.proxy.protocols.handshake import (
    DeniedError,
    HostPort,
    RefusedError,
    UnusableError,
)

MAX_HEAD = 16384  # bytes of a response's head
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_PROXY_AUTHENTICATION_REQUIRED = 407
# 5xx that are about the proxy itself: not implemented, HTTP version not supported. With the others
# (500, 502, 503, 504) proxies tell that the destination cannot be reached.
_DENIED = (501, 505)


class HttpConnect:
    """The handshake by CONNECT, with Basic authentication if there is a `user` (RFC 7617)."""

    bound = None

    def __init__(self, endpoint: HostPort, user: str = "", password: str = "") -> None:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        self._target = f"{host}:{endpoint.port}".encode("ascii")
        self._login = b64encode(f"{user}:{password}".encode()) if user else b""
        self.done = self._started = False
        self.rest = b""

    @property
    def asked(self) -> bool:
        """See Handshake."""
        return self._started and not self.rest and not self.done

    def start(self) -> bytes:
        """The request."""
        self._started, self.rest = True, b""
        lines = [b"CONNECT %b HTTP/1.1" % self._target, b"Host: %b" % self._target]
        if self._login:
            lines.append(b"Proxy-Authorization: Basic %b" % self._login)
        return b"\r\n".join((*lines, b"", b""))

    resume = start

    def receive(self, data: bytes) -> bytes:
        """Nothing is sent; done after a final response of 2xx.

        Raises RefusedError for another status, but HandshakeError for 407 (authentication), for
        what is no HTTP/1, and for a head of more than MAX_HEAD bytes.
        """
        self.rest += data
        while not self.done and (end := _END.search(self.rest, 0, MAX_HEAD)):
            self._answer(self.rest[: end.end()])
            self.rest = self.rest[end.end() :]
        if not self.done:
            self._check_beginning()
        return b""

    def _answer(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if not status:
            raise UnusableError("it is not an HTTP proxy")
        code = int(status[1])
        if code < 200:  # an interim answer (RFC 9110, section 15.2)
            return
        if code < 300:
            self.done = True
            return
        shown = f"{code} {(status[2] or b'').decode('ascii', 'backslashreplace')[:80]}".strip()
        if code == _PROXY_AUTHENTICATION_REQUIRED:
            raise UnusableError(shown)
        if code < 500 or code in _DENIED:  # 4xx: the request is not what the proxy does (403, 405)
            raise DeniedError(shown)
        raise RefusedError(shown)

    def _check_beginning(self) -> None:
        """Raise UnusableError early: a server of another protocol may never end a line."""
        if self.rest[:5] != b"HTTP/"[: len(self.rest)]:
            raise UnusableError("it is not an HTTP proxy")
        if len(self.rest) >= MAX_HEAD:
            raise UnusableError("the proxy's answer does not end")
