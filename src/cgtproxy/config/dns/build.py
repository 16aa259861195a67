"""What the keys of `dns` and `dns-hijack` mean, in the model's terms."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from cgtproxy.config.model import Dns, DnsHijack, FakePool, ListenAddress


def dns_of(tproxy: dict[str, Any]) -> Dns | None:
    """The DNS server of a TPROXY, whose keys are valid."""
    if (keys := tproxy.get("dns")) is None:
        return None
    fake = keys["mode"] == "fake-ip"
    return Dns(
        listen=tuple(keys["listen"]),
        upstreams=tuple(keys["upstream"]),
        through=keys["through"],
        exclude=tuple(keys["exclude"]),
        exclude_upstreams=tuple(keys["exclude-upstream"]),
        pool=FakePool(keys["pool"], keys["pool6"]) if fake else None,
        ttl=keys["ttl"],
    )


def hijack_of(tproxy: dict[str, Any]) -> DnsHijack | None:
    """As `dns-hijack` says; without it, to where the TPROXY's own DNS server listens."""
    if (keys := tproxy.get("dns-hijack")) is not None:
        return DnsHijack(keys["ip"], keys.get("ip6"), keys["port"], keys["tcp"], keys["loopback"])
    if (dns := tproxy.get("dns")) is None:
        return None
    servers = first_of_each_family(dns["listen"])
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
    for endpoint in listen:
        first.setdefault(endpoint.ip.version, endpoint)
    return first.get(4), first.get(6)


def _reachable(server: ListenAddress | None) -> IPv4Address | IPv6Address | None:
    """A wildcard is no destination, but loopback is among what it stands for."""
    if server and server.ip.is_unspecified:
        return IPv4Address("127.0.0.1") if server.ip.version == 4 else IPv6Address("::1")
    return server.ip if server else None
