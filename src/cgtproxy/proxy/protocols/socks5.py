"""SOCKS5 (RFC 1928) with user and password (RFC 1929), the client's side; its header for UDP."""

from __future__ import annotations

from enum import Enum, auto
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from cgtproxy.proxy.protocols.handshake import DeniedError, HostPort, RefusedError, UnusableError

VERSION, AUTH_VERSION = 5, 1
NO_AUTH, USER_PASSWORD = 0, 2
CONNECT, ASSOCIATE = 1, 3
IPV4, DOMAIN, IPV6 = 1, 3, 4
LENGTHS = {IPV4: 4, IPV6: 16}
REPLIES = (
    "succeeded",
    "general failure",
    "not allowed",
    "network unreachable",
    "host unreachable",
    "connection refused",
    "TTL expired",
    "command not supported",
    "address type not supported",
)
# Replies about the server itself. "General failure" may be anything: most servers mean that the
# destination cannot be reached.
_DENIED = (2, 7, 8)
MAX_UDP_HEADER = 3 + 1 + 1 + 255 + 2  # bytes; a name has at most 255


ANYWHERE = HostPort("0.0.0.0", 0)


def encode(endpoint: HostPort) -> bytes:
    """ATYP, address and port (section 5). Raises ValueError for what is no name in ASCII."""
    host = endpoint.host
    port = endpoint.port.to_bytes(2, "big")
    try:
        if ":" in host:
            return b"\x04" + inet_pton(AF_INET6, host) + port
        return b"\x01" + inet_pton(AF_INET, host) + port
    except OSError:
        name = host.encode("ascii")
        return bytes((DOMAIN, len(name))) + name + port


def decode(data: bytes | memoryview, start: int = 0) -> tuple[HostPort, int] | None:
    """The address and port at offset `start`, and where they end; None if more is to come.

    Raises UnusableError for an unknown address type.
    """
    if (end := end_of(data, start)) is None:
        return None
    begin = start + (2 if data[start] == DOMAIN else 1)
    raw = bytes(data[begin : end - 2])
    return HostPort(_host(data[start], raw), int.from_bytes(data[end - 2 : end], "big")), end


def end_of(data: bytes | memoryview, start: int) -> int | None:
    """As decode(), but only where it ends."""
    if len(data) <= start:
        return None
    address_type, begin = data[start], start + 1
    if address_type == DOMAIN:
        if len(data) <= begin:
            return None
        length, begin = data[begin], begin + 1
    elif address_type in LENGTHS:
        length = LENGTHS[address_type]
    else:
        raise UnusableError(f"unknown address type {address_type}")
    end = begin + length + 2
    return end if len(data) >= end else None


def _host(address_type: int, raw: bytes) -> str:
    if address_type == DOMAIN:
        return raw.decode("ascii", "backslashreplace")
    return inet_ntop(AF_INET if address_type == IPV4 else AF_INET6, raw)


def udp_header(endpoint: HostPort) -> bytes:
    """What precedes the payload of a datagram for `endpoint` (section 7)."""
    return b"\0\0\0" + encode(endpoint)


def parse_datagram(data: bytes | memoryview) -> tuple[HostPort, int] | None:
    """Where a relayed datagram is from and where its payload begins; None for what is malformed."""
    if len(data) < 4 or data[2]:  # a fragment, which nobody sends (RFC 1928, section 7)
        return None
    try:
        return decode(data, 3)
    except UnusableError:
        return None


class _State(Enum):
    METHOD = auto()
    AUTH = auto()
    REPLY = auto()


class Socks5:
    """The handshake by CONNECT, or by ASSOCIATE (UDP) with that `command`.

    Without an endpoint it is done when the user is accepted, as a health check needs it.
    """

    def __init__(
        self, endpoint: HostPort | None, user: str = "", password: str = "", command: int = CONNECT
    ) -> None:
        self._endpoint = endpoint
        self._user, self._password = user.encode(), password.encode()
        self._command = command
        self._state = _State.METHOD
        self._bound = b""
        self.done = False
        self.rest = b""

    @property
    def asked(self) -> bool:
        """See Handshake."""
        return self._state is _State.REPLY and not self.rest and not self.done

    @property
    def bound(self) -> HostPort | None:
        """BND.ADDR and BND.PORT of the reply (section 6): for ASSOCIATE where datagrams go."""
        decoded = decode(self._bound)
        return decoded and decoded[0]

    def start(self) -> bytes:
        """The greeting: version and methods (section 3)."""
        self._state, self.rest, self.done = _State.METHOD, b"", False
        methods = bytes((NO_AUTH, USER_PASSWORD)) if self._user else bytes((NO_AUTH,))
        return bytes((VERSION, len(methods))) + methods

    def resume(self) -> bytes:
        """The request, on a connection whose greeting and user were accepted."""
        self.rest = b""
        return self._request()

    def receive(self, data: bytes) -> bytes:
        """What to send next, if anything.

        Raises RefusedError for a reply other than succeeded, but UnusableError where the command
        is not supported, the user is refused, or the server does not speak SOCKS5.
        """
        self.rest += data
        answer = b""
        # Each state takes its message off, or waits for the rest of it.
        while not self.done and (taken := self._take()) is not None:
            answer += taken
        return answer

    def _take(self) -> bytes | None:
        if self._state is _State.REPLY:
            return self._reply()
        if len(self.rest) < 2:
            return None
        (version, said), self.rest = self.rest[:2], self.rest[2:]
        return self._method(version, said) if self._state is _State.METHOD else self._auth(said)

    def _method(self, version: int, method: int) -> bytes:
        if version != VERSION:
            raise UnusableError("it is not a SOCKS5 server")
        if method == NO_AUTH:
            return self._request()
        if method != USER_PASSWORD or not self._user:
            needs = "no user and password" if self._user else "a user and a password"
            raise UnusableError(f"the server requires {needs}, or another method")
        self._state = _State.AUTH
        lengths = bytes((len(self._user),)), bytes((len(self._password),))
        return bytes((AUTH_VERSION,)) + lengths[0] + self._user + lengths[1] + self._password

    def _auth(self, status: int) -> bytes:
        # The version is not looked at: some servers answer 5 instead of 1.
        if status:
            raise UnusableError("the server refuses the user or the password")
        return self._request()

    def _request(self) -> bytes:
        if self._endpoint is None:
            self.done = True
            return b""
        self._state = _State.REPLY
        return bytes((VERSION, self._command, 0)) + encode(self._endpoint)

    def _reply(self) -> bytes | None:
        if len(self.rest) < 2:
            return None
        version, reply = self.rest[:2]
        if version != VERSION:
            raise UnusableError("it is not a SOCKS5 server")
        if reply:
            what = REPLIES[reply] if reply < len(REPLIES) else f"failure {reply}"
            if reply in _DENIED or self._command == ASSOCIATE:  # which is about no destination
                raise DeniedError(what)
            raise RefusedError(what)
        if (end := end_of(self.rest, 3)) is None:
            return None
        self._bound, self.rest = self.rest[3:end], self.rest[end:]
        self.done = True
        return b""
