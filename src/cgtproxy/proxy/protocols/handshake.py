"""What all handshakes with an upstream have in common."""

from __future__ import annotations

from typing import Protocol


class HandshakeError(Exception):
    """The upstream is no proxy, or not for us: another one may do better."""


class RefusedError(Exception):
    """The upstream works, but says no to this destination."""


class Handshake(Protocol):
    """`start` and `receive` answer with what is to be sent; then `done` may have become true.

    `rest` is what came after the end: the first bytes of the destination. `asked`: the upstream was
    told the destination, and has said nothing since.
    """

    rest: bytes

    @property
    def done(self) -> bool: ...

    @property
    def asked(self) -> bool: ...

    def start(self) -> bytes:
        """With each connection; what came by the one before is forgotten."""

    def resume(self) -> bytes:
        """Instead of start(), with a connection that a check has found to work."""

    def receive(self, data: bytes) -> bytes:
        """Raises HandshakeError or RefusedError."""


class NoHandshake:
    """An upstream that takes data at once."""

    done = True
    asked = False

    def __init__(self) -> None:
        self.rest = b""

    def start(self) -> bytes:
        return b""

    resume = start

    def receive(self, data: bytes) -> bytes:
        raise AssertionError(f"done before {len(data)} bytes came")
