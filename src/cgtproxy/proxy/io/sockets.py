"""The built-in server's sockets.

All have the server's mark (SO_MARK), which no rule redirects, and none blocks unless it says so.
They are of `_socket.socket`, the base of `socket.socket`, at a third of the cost to create.
`family` is AF_INET or AF_INET6, `mark` a firewall mark.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from typing import TypeAlias

from cgtproxy.errors import CgtproxyError, PermissionMissingError
from cgtproxy.proxy.io.addresses import AF_INET, AF_INET6, Address, show
from cgtproxy.proxy.io.keepalive import keep_alive

Socket: TypeAlias = socket.SocketType

FAMILIES = (AF_INET, AF_INET6)
_NONBLOCKING = int(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
STREAM = int(socket.SOCK_STREAM)
_STREAM = STREAM | _NONBLOCKING
_DATAGRAM = int(socket.SOCK_DGRAM) | _NONBLOCKING
# linux/in.h, linux/in6.h; the socket module lacks them in Python 3.11
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
SO_RCVBUFFORCE = 33
IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR = 20, 74
IP_RECVERR, IPV6_RECVERR = 11, 25
IP_PKTINFO = 8
TRANSPARENT = {
    AF_INET: (socket.IPPROTO_IP, IP_TRANSPARENT),
    AF_INET6: (socket.IPPROTO_IPV6, IPV6_TRANSPARENT),
}
_RECVORIGDSTADDR = {
    AF_INET: (socket.IPPROTO_IP, IP_RECVORIGDSTADDR),
    AF_INET6: (socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR),
}
_RECVPKTINFO = {
    AF_INET: (socket.IPPROTO_IP, IP_PKTINFO),
    AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
_RECVERR = {
    AF_INET: (socket.IPPROTO_IP, IP_RECVERR),
    AF_INET6: (socket.IPPROTO_IPV6, IPV6_RECVERR),
}
_WILDCARD = {AF_INET: ("0.0.0.0", 0), AF_INET6: ("::", 0)}
_RESET = struct.pack("ii", 1, 0)
BACKLOG = 4096
_RECEIVE_BUFFER = 4 << 20  # bytes, of the datagrams that wait for a listener


def outgoing(family: int, mark: int) -> Socket:
    """A TCP socket, for connect()."""
    sock = socket.SocketType(family, _STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect(sock: Socket, address: Address) -> str:
    """Begin to connect. Returns why that is impossible, or ""."""
    code = sock.connect_ex(address)
    return "" if code in (0, errno.EINPROGRESS) else os.strerror(code)


def accept(listener: Socket, family: int) -> Socket:
    """The next connection of a listening socket. Raises OSError as accept(2).

    The new socket blocks: use MSG_DONTWAIT or setblocking().
    """
    fd, _ = listener._accept()  # type: ignore[attr-defined]  # what socket.accept() calls
    return socket.SocketType(family, STREAM, 0, fd)


def reset(sock: Socket) -> None:
    """Close a TCP socket with RST instead of FIN."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def listen(family: int, port: int, mark: int) -> Socket:
    """A TCP socket on which TPROXY hands over connections, which inherit its options.

    Raises CgtproxyError.
    """
    sock = _transparent(family, _STREAM, port, mark)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(sock)
    leave_unpaced(sock)
    # RFC 6093: urgent data is to be read in line
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    sock.listen(BACKLOG)
    return sock


def leave_unpaced(sock: Socket) -> None:
    """Let a TCP socket whose other end is on this computer send at once.

    Nothing is congested there, but BBR, which many choose for the network, sends at a pace of its
    own, by timers (net/ipv4/tcp_bbr.c). Reno is in every kernel (net/ipv4/tcp_cong.c).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def listen_datagrams(family: int, port: int, mark: int) -> Socket:
    """A UDP socket on which TPROXY hands over datagrams, each with its original destination.

    Raises CgtproxyError.
    """
    sock = _transparent(family, _DATAGRAM, port, mark)
    sock.setsockopt(*_RECVORIGDSTADDR[family], 1)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    return sock


def listen_dns(family: int, host: str, port: int, mark: int) -> Socket:
    """A TCP socket for DNS queries at an address of this computer. Raises CgtproxyError."""
    sock = _bound(family, _STREAM, (host, port), mark, (socket.SOL_SOCKET, socket.SO_REUSEADDR))
    sock.listen(BACKLOG)
    return sock


def listen_dns_datagrams(family: int, host: str, port: int, mark: int) -> Socket:
    """As listen_dns(), for UDP. On a wildcard address each query comes with the address that it
    was sent to (IP_PKTINFO)."""
    told = [_RECVPKTINFO[family]] if host == _WILDCARD[family][0] else []
    sock = _bound(family, _DATAGRAM, (host, port), mark, *told)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    return sock


def listen_unix() -> Socket:
    """A UNIX datagram socket at an abstract address that the kernel chooses (unix(7), autobind)."""
    sock = socket.SocketType(socket.AF_UNIX, _DATAGRAM)
    sock.bind("")
    return sock


def outgoing_datagrams(family: int, mark: int) -> Socket:
    """A UDP socket, for connect()."""
    sock = socket.SocketType(family, _DATAGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    return sock


def datagrams(family: int, mark: int) -> Socket:
    """A UDP socket for any destinations, with ICMP errors in its error queue (IP_RECVERR)."""
    sock = outgoing_datagrams(family, mark)
    sock.setsockopt(*_RECVERR[family], 1)
    return sock


def datagrams_beside(sock: Socket, destination: Address, mark: int) -> Socket:
    """A second socket on the port of `sock`, connected to one destination. Raises OSError.

    Only now may `sock` share its port: before, the kernel might have chosen one in use for it.
    """
    family = sock.family
    if not sock.getsockname()[1]:
        sock.bind(_WILDCARD[family])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    beside = datagrams(family, mark)
    try:
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        beside.bind((_WILDCARD[family][0], sock.getsockname()[1]))
        beside.connect(destination)
    except OSError:
        beside.close()
        raise
    return beside


def spoofing(source: Address, family: int, mark: int) -> Socket:
    """A UDP socket bound to an address of another computer, to answer in its name (IP_TRANSPARENT).

    Raises OSError, also where the address is in use here.
    """
    sock = socket.SocketType(family, _DATAGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(*TRANSPARENT[family], 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.bind(source)
    except OSError:
        sock.close()
        raise
    return sock


def _transparent(family: int, type_: int, port: int, mark: int) -> Socket:
    shared = (socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_REUSEPORT)
    return _bound(family, type_, (_WILDCARD[family][0], port), mark, *shared, TRANSPARENT[family])


def _bound(
    family: int, type_: int, address: tuple[str, int], mark: int, *options: tuple[int, int]
) -> Socket:
    """`options` are (level, name) of those to switch on. Raises CgtproxyError."""
    sock = socket.SocketType(family, type_)
    try:
        if family == AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in options:
            sock.setsockopt(*option, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.bind(address)
    except PermissionError as error:
        sock.close()
        what = f"this process may not listen on {show(address)}"
        needed = "CAP_NET_ADMIN, and for ports below 1024 CAP_NET_BIND_SERVICE"
        raise PermissionMissingError(what, f"it needs {needed}, or root") from error
    except OSError as error:
        sock.close()
        what = f"cannot listen on {show(address)}: {error.strerror}"
        raise CgtproxyError(
            what, "stop the program that uses it, or choose another port"
        ) from error
    return sock


def has_family(family: int) -> bool:
    """Whether this computer has IPv4 (or IPv6) at all."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind(_WILDCARD[family])
    except OSError:
        return False
    return True


def is_local(family: int, host: str) -> bool:
    """Whether `host` is an address of this computer."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
    return True
