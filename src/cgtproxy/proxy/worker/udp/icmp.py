"""ICMP errors, passed on to the client whose datagram caused them.

The client's kernel finds its socket by the head of the datagram that the error quotes. Sending
them takes CAP_NET_RAW; without it they are not passed on.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import NamedTuple

from cgtproxy.proxy.io.addresses import AF_INET, AF_INET6, Address
from cgtproxy.proxy.io.sockets import Socket

# struct sock_extended_err (linux/errqueue.h): errno, origin, type, code, pad, info, data
_EXTENDED = struct.Struct("=IBBBBII")
_ORIGINS = {2: AF_INET, 3: AF_INET6}
_QUEUE = int(socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
_UDP = 17
_PORT_UNREACHABLE = {AF_INET: (3, 3), AF_INET6: (1, 4)}
# RFC 7915, sections 4.2 and 5.2: from the type and code in one family to those in the other
_OTHER = {
    (AF_INET, 3, 0): (1, 0),
    (AF_INET, 3, 1): (1, 0),
    (AF_INET, 3, 3): (1, 4),
    (AF_INET, 3, 4): (2, 0),
    (AF_INET, 3, 13): (1, 1),
    (AF_INET6, 1, 0): (3, 1),
    (AF_INET6, 1, 1): (3, 10),
    (AF_INET6, 1, 3): (3, 1),
    (AF_INET6, 1, 4): (3, 3),
    (AF_INET6, 2, 0): (3, 4),
}
_LONGER = 20  # bytes that IPv6's header has more than IPv4's


class Error(NamedTuple):
    """An ICMP error about a datagram to `destination`; `info` is an MTU or 0."""

    family: int
    message_type: int
    code: int
    info: int
    destination: Address


def take(sock: Socket) -> list[Error]:
    """The ICMP errors in a socket's queue; the socket's own error is cleared as well."""
    found = []
    while True:
        try:
            _, control, _, destination = sock.recvmsg(0, 512, _QUEUE)
        except OSError:
            break
        for _, _, data in control:
            if len(data) >= _EXTENDED.size:
                _, origin, message_type, code, _, info, _ = _EXTENDED.unpack_from(data)
                if origin in _ORIGINS:
                    found.append(Error(_ORIGINS[origin], message_type, code, info, destination))
    with contextlib.suppress(OSError):
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return found


def message(error: Error, client: Address) -> bytes:
    """The ICMP message, quoting the IP and UDP headers of the client's datagram."""
    ports = struct.pack("!HHHH", client[1], error.destination[1], 8, 0)
    addresses = b"".join(
        socket.inet_pton(error.family, str(end[0]).partition("%")[0])
        for end in (client, error.destination)
    )
    if error.family == AF_INET:
        quoted = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, _UDP, 0) + addresses + ports
        head = struct.pack("!BBHI", error.message_type, error.code, 0, error.info & 0xFFFF)
        check = _checksum(head + quoted)
        return head[:2] + struct.pack("!H", check) + head[4:] + quoted
    quoted = struct.pack("!IHBB", 6 << 28, 8, _UDP, 64) + addresses + ports
    return struct.pack("!BBHI", error.message_type, error.code, 0, error.info) + quoted


def _checksum(data: bytes) -> int:
    """RFC 1071; `data` has an even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def about(destination: Address, error: Error) -> Error | None:
    """The same error about another address; None if the other family has no such error."""
    family = AF_INET6 if ":" in destination[0] else AF_INET
    if error.family == family:
        return error._replace(destination=destination)
    translated = _OTHER.get((error.family, error.message_type, error.code))
    if translated is None:
        return None
    longer = _LONGER if family == AF_INET6 else -_LONGER
    info = error.info + longer if error.info else 0
    return Error(family, *translated, info, destination)


class IcmpSender:
    """Sends ICMP errors to clients, by raw sockets with the server's mark."""

    def __init__(self, mark: int) -> None:
        self._sockets: dict[int, Socket] = {}
        protocols = {AF_INET: socket.IPPROTO_ICMP, AF_INET6: socket.IPPROTO_ICMPV6}
        for family, protocol in protocols.items():
            with contextlib.suppress(OSError):
                sock = socket.SocketType(family, int(socket.SOCK_RAW), protocol)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
                # It is for sending: with no room, what comes in is dropped.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
                self._sockets[family] = sock

    def pass_on(self, sock: Socket, client: Address, seen_as: Address | None = None) -> None:
        """Tell `client` of the errors that its upstream socket has met with.

        It knows the destination by the address `seen_as`, if that is another one.
        """
        for error in take(sock):
            told = about(seen_as, error) if seen_as else error
            if told:
                self._send(told, client)

    def refuse(self, family: int, client: Address, destination: Address) -> None:
        """Tell `client` that nobody is at that port."""
        self._send(Error(family, *_PORT_UNREACHABLE[family], 0, destination), client)

    def _send(self, error: Error, client: Address) -> None:
        if sender := self._sockets.get(error.family):
            with contextlib.suppress(OSError):
                sender.sendto(message(error, client), (client[0], 0, *client[2:]))
