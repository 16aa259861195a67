"""The interface of handshakes: how an upstream is told the destination of a connection."""

from __future__ import annotations

from typing import Protocol


class HandshakeError(Exception):
    """The upstream is no such proxy, or not for us: another one may do better. Says why."""


class RefusedError(Exception):
    """The upstream works, but cannot or will not reach this destination. Says why."""


class Handshake(Protocol):
    """One handshake, whose methods return the bytes to send; after each it may be `done`.

    `rest` is what came after the end: the first bytes of the destination.
    """

    rest: bytes

    @property
    def done(self) -> bool:
        """Whether the connection now carries the destination's data."""

    @property
    def asked(self) -> bool:
        """Whether the upstream was told the destination, and has said nothing since."""

    def start(self) -> bytes:
        """Begin, on a new connection; what came by one before is forgotten."""

    def resume(self) -> bytes:
        """Begin on an idle connection that a handshake without a destination has prepared."""

    def receive(self, data: bytes) -> bytes:
        """Go on with what the upstream has sent. Raises HandshakeError or RefusedError."""


class NoHandshake:
    """The handshake of an upstream that takes data at once: it is done before it begins."""

    done = True
    asked = False

    def __init__(self) -> None:
        self.rest = b""

    def start(self) -> bytes:
        """Nothing is sent."""
        return b""

    resume = start

    def receive(self, data: bytes) -> bytes:
        """Is never called."""
        raise AssertionError(f"done before {len(data)} bytes came")
