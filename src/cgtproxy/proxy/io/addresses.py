"""Socket addresses as the socket module has them: parsing, showing, and what kind they are."""

from __future__ import annotations

import contextlib
import functools
import socket
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeAlias

Address: TypeAlias = tuple[Any, ...]  # (host, port) or (host, port, flow, scope)

AF_INET, AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)


class SocketAddress(NamedTuple):
    """An address family, and an address as connect(2) takes it."""

    family: int
    address: Address


def original_destination(family: int, sockaddr: bytes) -> Address:
    """The address in a struct sockaddr_in (AF_INET) or sockaddr_in6, as getsockopt(2) and control
    data have it."""
    port = int.from_bytes(sockaddr[2:4], "big")
    if family == AF_INET:
        return socket.inet_ntop(family, sockaddr[4:8]), port
    scope = int.from_bytes(sockaddr[24:28], sys.byteorder)
    return socket.inet_ntop(family, sockaddr[8:24]), port, 0, scope


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, the latter perhaps with a zone (RFC 4007)."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether an address as text is one of 127.0.0.0/8, also as ::ffff:127.x, or ::1."""
    return host.startswith(("127.", "::")) and _is_loopback(host)


@functools.lru_cache
def _is_loopback(host: str) -> bool:
    address = ip_address(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback


def numeric(host: str, port: int) -> SocketAddress:
    """The socket address of an IP address as text; a link-local one may have a zone.

    Raises OSError for a name, and for a zone that does not exist here.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    found = socket.getaddrinfo(host, port, flags=flags, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return SocketAddress(int(family), address)


def numeric_addresses(hosts: Iterable[str], port: int) -> list[SocketAddress]:
    """As numeric(), leaving out those for which it raises OSError."""
    found = []
    for host in hosts:
        with contextlib.suppress(OSError):
            found.append(numeric(host, port))
    return found


def show(address: Address) -> str:
    """HOST:PORT, or [HOST]:PORT for IPv6."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
