"""The interface of handshakes: how an upstream is told the destination of a connection."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class HostPort(NamedTuple):
    """A destination: `host` is an address as text, or a name that the upstream looks up."""

    host: str
    port: int


class HandshakeError(Exception):
    """There is no connection through the upstream. It is one of the following, and says why."""


class UnusableError(HandshakeError):
    """The upstream is no such proxy, or does not let us in."""


class DeniedError(HandshakeError):
    """The upstream works, but refuses this request, by its rules or for what it cannot do."""


class RefusedError(HandshakeError):
    """The upstream works, but the destination refuses, or cannot be reached from there."""


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

    @property
    def bound(self) -> HostPort | None:
        """Where the upstream takes datagrams, if it was asked for that."""

    def start(self) -> bytes:
        """Begin, on a new connection; what came by one before is forgotten."""

    def resume(self) -> bytes:
        """Begin on an idle connection that a handshake without a destination has prepared."""

    def receive(self, data: bytes) -> bytes:
        """Go on with what the upstream has sent. Raises a HandshakeError."""


class NoHandshake:
    """The handshake of an upstream that takes data at once: it is done before it begins."""

    done = True
    asked = False
    bound = None

    def __init__(self) -> None:
        self.rest = b""

    def start(self) -> bytes:
        """Nothing is sent."""
        return b""

    resume = start

    def receive(self, data: bytes) -> bytes:
        """Is never called."""
        raise AssertionError(f"done before {len(data)} bytes came")
