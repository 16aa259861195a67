"""The keys of `dns`: what they mean."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from cgtproxy.config.dns.keys import DEFAULT_EXCLUDE
from cgtproxy.config.model import (
    SYSTEM,
    Dns,
    DnsHijack,
    DnsUpstream,
    FakePool,
    ListenAddress,
    Tproxy,
)
from cgtproxy.config.parser import parse
from config.texts import file_of

LOCAL4, LOCAL6 = IPv4Address("127.0.0.1"), IPv6Address("::1")
DEFAULT = Dns(
    listen=(ListenAddress(LOCAL4, 1053), ListenAddress(LOCAL6, 1053)),
    upstreams=(SYSTEM,),
    through="upstream",
    exclude=DEFAULT_EXCLUDE,
    exclude_upstreams=(SYSTEM,),
    pool=FakePool(IPv4Network("198.18.0.0/15"), IPv6Network("fc00::/18")),
    ttl=1,
)


def tproxy(keys: str) -> Tproxy:
    return parse(file_of(keys), "f").config.tproxies[0]


def dns(keys: str) -> Dns:
    server = tproxy(f"upstream: drop://, dns: {keys}").server
    assert server
    assert server.dns
    return server.dns


def test_an_empty_mapping_has_all_defaults_and_a_hijack() -> None:
    assert dns("{}") == DEFAULT
    served = tproxy("upstream: 'socks5://127.0.0.1', dns: {}")
    assert served.dns_hijack == DnsHijack(LOCAL4, LOCAL6, 1053, tcp=True, loopback=True)


@pytest.mark.parametrize("keys", ["upstream: drop://", "upstream: drop://, dns: ~"])
def test_without_it_there_is_none(keys: str) -> None:
    served = tproxy(keys)
    assert served.server
    assert served.server.dns is None
    assert served.dns_hijack is None


def test_all_keys() -> None:
    read = dns(
        "{mode: fake-ip, listen: ['[FD00::0]:65535', '192.0.2.1:65535'], through: direct,"
        " upstream: [udp://192.0.2.53, tls://dns.example], exclude: ['*.Example.', '[a-c]?'],"
        " exclude-upstream: tcp://192.0.2.1:5353, pool: 10.9.8.7/8, pool6: 'fd00::1/64', ttl: 0}"
    )
    assert read == Dns(
        listen=(
            ListenAddress(IPv6Address("fd00::"), 65535),
            ListenAddress(IPv4Address("192.0.2.1"), 65535),
        ),
        upstreams=(DnsUpstream("udp", "192.0.2.53", 53), DnsUpstream("tls", "dns.example", 853)),
        through="direct",
        exclude=("*.example", "[a-c]?"),
        exclude_upstreams=(DnsUpstream("tcp", "192.0.2.1", 5353),),
        pool=FakePool(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/64")),
        ttl=0,
    )


def test_a_server_that_only_forwards_has_no_pool() -> None:
    assert dns("{mode: forward}") == DEFAULT._replace(pool=None)
    assert dns("{exclude: []}") == DEFAULT._replace(exclude=())


@pytest.mark.parametrize(
    ("listen", "ip", "ip6", "port"),
    [
        ("192.0.2.1:53", IPv4Address("192.0.2.1"), None, 53),
        ("'[::1]:53'", None, LOCAL6, 53),
        ("[0.0.0.0:5, '[::]:5']", LOCAL4, LOCAL6, 5),
        ("[127.0.0.2:5, 127.0.0.1:6]", IPv4Address("127.0.0.2"), None, 5),
        ("['[::1]:5', '[::2]:6', 127.0.0.1:5]", LOCAL4, LOCAL6, 5),
    ],
)
def test_queries_are_hijacked_to_the_first_listener_of_each_family(
    listen: str, ip: IPv4Address | None, ip6: IPv6Address | None, port: int
) -> None:
    served = tproxy(f"upstream: drop://, dns: {{listen: {listen}}}")
    assert served.dns_hijack == DnsHijack(ip, ip6, port, tcp=True, loopback=True)


def test_a_hijack_that_is_given_wins() -> None:
    keys = "upstream: drop://, dns: {listen: [127.0.0.1:5, '[::1]:6']}, dns-hijack: {port: 9}"
    assert tproxy(keys).dns_hijack == DnsHijack(LOCAL4, None, 9, tcp=False, loopback=True)
