"""Addresses as the socket module has them."""

from __future__ import annotations

import functools
import socket
import sys
from ipaddress import ip_address
from typing import Any, TypeAlias

Address: TypeAlias = tuple[Any, ...]  # (host, port) or (host, port, flow, scope)

AF_INET, AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)


def original_destination(family: int, sockaddr: bytes) -> Address:
    """From struct sockaddr_in or sockaddr_in6."""
    port = int.from_bytes(sockaddr[2:4], "big")
    if family == AF_INET:
        return socket.inet_ntop(family, sockaddr[4:8]), port
    scope = int.from_bytes(sockaddr[24:28], sys.byteorder)
    return socket.inet_ntop(family, sockaddr[8:24]), port, 0, scope


def is_loopback(host: str) -> bool:
    return host.startswith(("127.", "::")) and _is_loopback(host)


@functools.lru_cache
def _is_loopback(host: str) -> bool:
    address = ip_address(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_loopback


def numeric(host: str, port: int) -> tuple[int, Address]:
    """The family and the address, as connect(2) takes it, of an address given as text.

    Raises OSError for a name. A link-local address may have a zone.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    found = socket.getaddrinfo(host, port, flags=flags, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return int(family), address


def show(address: Address) -> str:
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
