"""One D-Bus connection, without its socket: the handshake, then messages."""

from __future__ import annotations

import os
from collections.abc import Iterator

from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime.dbus import wire

_LONGEST_LINE = 1024  # bytes; a server's answer to AUTH


class RefusedError(CgtproxyError):
    """The server does not talk to us."""


def greeting() -> bytes:
    """The client's whole part of the handshake.

    Its end comes along unasked, as in systemd's own client: once the server has answered it has
    read all of it. A server made of sd-bus that finds a message in one read with BEGIN keeps that
    message until the next one comes, so nothing may be sent before the answer.
    """
    return b"\0AUTH EXTERNAL %b\r\nBEGIN\r\n" % str(os.geteuid()).encode().hex().encode()


class Stream:
    """`agreed` once the handshake is over. What is held is at most one message and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.agreed = False

    def receive(self, data: bytes) -> Iterator[wire.Message]:
        """The messages that are whole now. Raises RefusedError, or wire.MALFORMED."""
        self._buffer += data
        if not self.agreed:
            self._agree()
        begin = 0
        buffer = self._buffer
        try:
            while self.agreed and len(buffer) - begin >= wire.HEAD:
                size = wire.length(bytes(buffer[begin : begin + wire.HEAD]))
                if len(buffer) - begin < size:
                    return
                message = wire.parse(bytes(buffer[begin : begin + size]))
                begin += size
                yield message
        finally:
            del buffer[:begin]

    def _agree(self) -> None:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end and len(line) <= _LONGEST_LINE:
            return
        if not line.startswith(b"OK "):
            raise RefusedError(f"handshake refused: {bytes(line[:60])!r}")
        self.agreed = True
        self._buffer = rest
