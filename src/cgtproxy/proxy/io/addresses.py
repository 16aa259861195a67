"""Addresses as the socket module has them."""

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
    """From struct sockaddr_in or sockaddr_in6."""
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
    """Whether an IP address is a loopback address, or an IPv4 one that is mapped into IPv6."""
    return host.startswith(("127.", "::")) and _is_loopback(host)


@functools.lru_cache
def _is_loopback(host: str) -> bool:
    address = ip_address(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback


def numeric(host: str, port: int) -> SocketAddress:
    """The socket address for an IP address given as text; a link-local one may have a zone.

    Raises OSError for a name.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    found = socket.getaddrinfo(host, port, flags=flags, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return SocketAddress(int(family), address)


def numeric_addresses(hosts: Iterable[str], port: int) -> list[SocketAddress]:
    """The socket addresses of those that are IP addresses, and whose zone exists."""
    found = []
    for host in hosts:
        with contextlib.suppress(OSError):
            found.append(numeric(host, port))
    return found


def show(address: Address) -> str:
    """`host:port`, or `[host]:port` for IPv6."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
