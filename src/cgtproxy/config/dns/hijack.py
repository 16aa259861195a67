"""The hijack of a TPROXY that has a DNS server of its own."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from cgtproxy.config.model import DnsHijack, ListenAddress


def hijack_to(listen: Iterable[ListenAddress]) -> DnsHijack:
    """The hijack of a TPROXY whose own DNS server listens there."""
    servers = first_of_each_family(listen)
    ip, ip6 = (_reachable(server) for server in servers)
    port = next(server.port for server in servers if server)
    assert not isinstance(ip, IPv6Address)
    assert not isinstance(ip6, IPv4Address)
    return DnsHijack(ip, ip6, port, tcp=True, loopback=True)


def first_of_each_family(
    listen: Iterable[ListenAddress],
) -> tuple[ListenAddress | None, ListenAddress | None]:
    """Those that queries are sent to; nft(8) counts on them having the same port."""
    first: dict[int, ListenAddress] = {}
    for address in listen:
        first.setdefault(address.ip.version, address)
    return first.get(4), first.get(6)


def _reachable(server: ListenAddress | None) -> IPv4Address | IPv6Address | None:
    """A wildcard is no destination, but loopback is among what it stands for."""
    if server and server.ip.is_unspecified:
        return IPv4Address("127.0.0.1") if server.ip.version == 4 else IPv6Address("::1")
    return server.ip if server else None
