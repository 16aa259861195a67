"""The keys of `dns`: what they mean, what is at fault, and what is hardly meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.dns.keys import DEFAULT_EXCLUDE
from cgtproxy.config.dns.url import parse_dns_upstream
from cgtproxy.config.model import (
    SYSTEM,
    Dns,
    DnsHijack,
    DnsUpstream,
    Endpoint,
    FakePool,
    Tproxy,
)
from cgtproxy.config.parser import parse

HEAD = 'version: 1\ncgroup-root: AUTO\nroute-table: 300\nbypass: [127.0.0.0/8, "::1"]\n'
LOCAL4, LOCAL6 = IPv4Address("127.0.0.1"), IPv6Address("::1")
DEFAULT = Dns(
    listen=(Endpoint(LOCAL4, 1053), Endpoint(LOCAL6, 1053)),
    upstreams=(SYSTEM,),
    through="upstream",
    exclude=DEFAULT_EXCLUDE,
    exclude_upstreams=(SYSTEM,),
    pool=FakePool(IPv4Network("198.18.0.0/15"), IPv6Network("fc00::/18")),
    ttl=1,
)
Faults = Callable[[str], list[str]]


def text(*tproxies: str) -> str:
    """A file with TPROXYs a, b, ..., one a line, of which the first is on line 6."""
    names = "abc"[: len(tproxies)]
    lines = [
        f"  {name}: {{port: {number}, mark: {number}, {keys}}}\n"
        for number, (name, keys) in enumerate(zip(names, tproxies, strict=True), 1)
    ]
    rules = [f"  - {{match: {name}, tproxy: {name}}}\n" for name in names]
    return HEAD + "tproxies:\n" + "".join(lines) + "rules:\n" + "".join(rules)


def tproxy(keys: str) -> Tproxy:
    return parse(text(keys), "f").config.tproxies[0]


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
            Endpoint(IPv6Address("fd00::"), 65535),
            Endpoint(IPv4Address("192.0.2.1"), 65535),
        ),
        upstreams=(DnsUpstream("udp", "192.0.2.53", 53), DnsUpstream("tls", "dns.example", 853)),
        through="direct",
        exclude=("*.example", "[a-c]?"),
        exclude_upstreams=(DnsUpstream("tcp", "192.0.2.1", 5353),),
        pool=FakePool(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/64")),
        ttl=0,
    )


def test_a_server_that_only_forwards_has_no_pool() -> None:
    assert dns("{mode: forward}") == replace(DEFAULT, pool=None)
    assert dns("{exclude: []}") == replace(DEFAULT, exclude=())


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


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("system://", SYSTEM),
        ("udp://192.0.2.1", DnsUpstream("udp", "192.0.2.1", 53)),
        ("tcp://dns.example:5353/", DnsUpstream("tcp", "dns.example", 5353)),
        ("tls://[2001:DB8::0]", DnsUpstream("tls", "2001:db8::", 853)),
        ("https://dns.example", DnsUpstream("https", "dns.example", 443, "/dns-query")),
        ("https://dns.example/", DnsUpstream("https", "dns.example", 443, "/")),
        ("https://[::1]:8443/a/b%20c", DnsUpstream("https", "::1", 8443, "/a/b%20c")),
    ],
)
def test_urls(url: str, wanted: DnsUpstream) -> None:
    assert parse_dns_upstream(url) == wanted
    assert parse_dns_upstream(str(wanted)) == wanted


@pytest.mark.parametrize(
    "url",
    [
        *("", "system", "system:/", "system://h", "udp://", "udp://:53", "h", "192.0.2.1"),
        *("udp://h:0", "udp://h:65536", "udp://h:x", "udp://h/x", "tls://h?x", "https://h?dns"),
        *("https://h#x", "https://u@h", "tcp://u:p@h", "quic://h", "udp://::1", "udp://[::1"),
        *("udp://a b", "https://h/a b", "udp://h\n", "socks5://h", "udp://[h]"),
    ],
)
def test_what_is_no_url_of_a_dns_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_dns_upstream(url)


@given(st.text("udptclshtystem:/@[].%?=&#0a ", max_size=30))
def test_any_text_is_a_dns_server_or_a_value_error(url: str) -> None:
    try:
        parse_dns_upstream(url)
    except ValueError:
        return


LISTENER = "must be ADDRESS:PORT, or [ADDRESS]:PORT for IPv6, without a scope"
POOL = "must be an IPv4 network in CIDR with a prefix of at most 30 bits"
POOL6 = "must be an IPv6 network in CIDR with a prefix of at most 126 bits"
URL = (
    "must be the URL of a DNS server: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, "
    "https://HOST:PORT/PATH or system://"
)
NAME = "must be a name in ASCII, in which *, ? and [...] are as in a shell"


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("mode: fake", "mode: 'fake' is none of them; must be one of fake-ip, forward"),
        ("listen: 127.0.0.1", f"listen: '127.0.0.1' is not an address with a port; {LISTENER}"),
        ("listen: 1.2.3:5", f"listen: '1.2.3:5' is not an address with a port; {LISTENER}"),
        ("listen: 1.2.3.4:0", f"listen: '1.2.3.4:0' is not an address with a port; {LISTENER}"),
        (
            "listen: ['[::1]:65536']",
            f"listen[0]: '[::1]:65536' is not an address with a port; {LISTENER}",
        ),
        ("listen: '::1:5'", f"listen: '::1:5' is not an address with a port; {LISTENER}"),
        (
            "listen: '[fe80::1%lo]:5'",
            f"listen: '[fe80::1%lo]:5' is not an address with a port; {LISTENER}",
        ),
        (
            "listen: '[1.2.3.4]:5'",
            f"listen: '[1.2.3.4]:5' has brackets around what is not IPv6; {LISTENER}",
        ),
        ("listen: []", "listen: an empty list is given; must be ADDRESS:PORT, or a list of them"),
        (
            "upstream: []",
            "upstream: an empty list is given; must be the URL of a DNS server, or a list of them",
        ),
        (
            "upstream: [dns.example]",
            "upstream[0]: 'dns.example' is not the URL of a DNS server "
            f"(the scheme is not known); {URL}",
        ),
        (
            "exclude-upstream: udp://h/x",
            "exclude-upstream: 'udp://h/x' is not the URL of a DNS server "
            f"(nothing may follow the port but https://'s path); {URL}",
        ),
        ("exclude: '*.lan'", "exclude: '*.lan' is text; must be a list of shell patterns"),
        ("exclude: [größe]", f"exclude[0]: 'größe' does not fit; {NAME}"),
        ("exclude: [a.b, 'a b']", f"exclude[1]: 'a b' does not fit; {NAME}"),
        ("pool: fc00::/7", f"pool: 'fc00::/7' is not an IPv4 network; {POOL}"),
        ("pool: 10.0.0.0/31", f"pool: '10.0.0.0/31' is too small; {POOL}"),
        ("pool: 10.0.0.1", f"pool: '10.0.0.1' is too small; {POOL}"),
        ("pool: 126.0.0.0/7", f"pool: '126.0.0.0/7' overlaps 127.0.0.0/8 (loopback); {POOL}"),
        ("pool: 0.0.0.0/0", f"pool: '0.0.0.0/0' overlaps 0.0.0.0/8 (this host); {POOL}"),
        (
            "pool: 169.254.7.0/24",
            f"pool: '169.254.7.0/24' overlaps 169.254.0.0/16 (link-local); {POOL}",
        ),
        ("pool: 230.0.0.0/8", f"pool: '230.0.0.0/8' overlaps 224.0.0.0/4 (multicast); {POOL}"),
        ("pool6: 10.0.0.0/8", f"pool6: '10.0.0.0/8' is not an IPv6 network; {POOL6}"),
        ("pool6: 'fd00::/127'", f"pool6: 'fd00::/127' is too small; {POOL6}"),
        ("pool6: '::/64'", f"pool6: '::/64' overlaps ::1/128 (loopback); {POOL6}"),
        ("pool6: 'fe80::/64'", f"pool6: 'fe80::/64' overlaps fe80::/10 (link-local); {POOL6}"),
        ("pool6: 'ff00::/64'", f"pool6: 'ff00::/64' overlaps ff00::/8 (multicast); {POOL6}"),
        (
            "pool6: '::ffff:0:0/100'",
            f"pool6: '::ffff:0:0/100' overlaps ::ffff:0:0/96 (IPv4 as IPv6); {POOL6}",
        ),
        (
            "ttl: 86401",
            "ttl: 86401 is out of range; must be a whole number from 0 to 86400",
        ),
    ],
)
def test_faults_of_one_key(faults: Faults, keys: str, wanted: str) -> None:
    (told,) = faults(text(f"upstream: drop://, dns: {{{keys}}}"))
    assert told.split(": ", 1)[1] == f"tproxies.a.dns.{wanted}"


OWN = "upstream: drop://, dns: {listen: 127.0.0.1:%d%s}"
DIFFERENT = "must be different for each DNS server"
SAME = "must have both the same, or neither overlapping"


@pytest.mark.parametrize(
    ("tproxies", "wanted"),
    [
        (
            ["dns: {}"],
            [
                "6:25: tproxies.a.dns: the TPROXY has no upstream, so it is not served here; "
                "give the TPROXY an upstream, or use dns-hijack for another DNS server"
            ],
        ),
        (
            ["upstream: drop://, dns: {listen: [127.0.0.1:5, '[::1]:6']}"],
            [
                "6:50: tproxies.a.dns.listen: 127.0.0.1:5 and [::1]:6 have different ports, but "
                "queries are sent to one; give the first listener of each family the same port, "
                "or write a dns-hijack"
            ],
        ),
        (
            ["upstream: drop://, dns: {}", "upstream: drop://, dns: {}"],
            [
                "7:44: tproxies.b.dns.listen: 127.0.0.1:1053 is taken by tproxies.a.dns.listen "
                f"on line 6; {DIFFERENT}",
                "7:44: tproxies.b.dns.listen: [::1]:1053 is taken by tproxies.a.dns.listen "
                f"on line 6; {DIFFERENT}",
            ],
        ),
        (
            ["upstream: drop://, dns: {listen: [127.0.0.1:5, 0.0.0.0:5, '[::1]:5']}"],
            [
                "6:72: tproxies.a.dns.listen[1]: 0.0.0.0:5 is taken by tproxies.a.dns.listen[0] "
                f"(127.0.0.1:5) on line 6; {DIFFERENT}"
            ],
        ),
        (
            ["upstream: drop://, dns: {listen: '127.0.0.1:2'}", "upstream: drop://"],
            [
                "6:58: tproxies.a.dns.listen: 127.0.0.1:2 has the port of tproxies.b, which is "
                "served here; must have another port"
            ],
        ),
        (
            [OWN % (5, ""), OWN % (6, ", pool: 198.0.0.0/8")],
            [
                "7:77: tproxies.b.dns.pool: 198.0.0.0/8 overlaps 198.18.0.0/15 of tproxies.a.dns "
                "on line 6, but the two DNS servers do not have the same pool and pool6; " + SAME
            ],
        ),
        (
            [OWN % (5, ", pool: 10.0.0.0/8"), OWN % (6, ", pool: 11.0.0.0/8")],
            [
                "7:44: tproxies.b.dns.pool6: fc00::/18 overlaps fc00::/18 of tproxies.a.dns "
                "on line 6, but the two DNS servers do not have the same pool and pool6; " + SAME
            ],
        ),
        (
            [
                OWN % (5, ", upstream: ['udp://[::1]:6', system://, 'tcp://127.0.0.1:6']"),
                OWN % (6, ""),
            ],
            [
                "6:110: tproxies.a.dns.upstream[2]: tcp://127.0.0.1:6 is tproxies.b.dns.listen "
                "on line 7; must be a DNS server of somebody else's"
            ],
        ),
    ],
)
def test_faults_between_keys(faults: Faults, tproxies: list[str], wanted: list[str]) -> None:
    assert faults(text(*tproxies)) == [f"f:{fault}" for fault in wanted]


@pytest.mark.parametrize(
    "tproxies",
    [
        ["upstream: drop://, dns: {listen: [127.0.0.1:5, '[::1]:6']}, dns-hijack: {}"],
        ["upstream: drop://, dns: {listen: [127.0.0.1:2, '[::]:2']}", "no-ipv6: true"],
        [OWN % (5, ""), OWN % (6, "")],
        [OWN % (5, ", pool: 10.0.0.0/8"), OWN % (6, ", mode: forward")],
        [OWN % (5, ", pool: 10.0.0.0/8, pool6: 'fd00::/64'"), OWN % (6, "")],
        [OWN % (5, ", upstream: udp://127.0.0.1")],
    ],
)
def test_neither_a_fault_nor_a_warning(warnings: Faults, tproxies: list[str]) -> None:
    assert warnings(text(*tproxies)) == []


ADD = "add `dns: {}`, or a dns-hijack"
NEVER = "never takes effect: mode: forward makes no addresses up; remove it, or the mode"
PAST = "sends queries over UDP past this TPROXY's DNS server"


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (
            "upstream: socks5://h",
            [
                "6:35: tproxies.a.upstream: names are looked up over UDP, which many SOCKS5 "
                f"servers (ssh, Tor) do not carry; {ADD}"
            ],
        ),
        (
            "upstream: [drop://, 'http://h']",
            [
                "6:45: tproxies.a.upstream[1]: http:// carries no UDP: queries for names are "
                f"dropped; {ADD}"
            ],
        ),
        (
            "upstream: https://h, udp: direct",
            [
                "6:35: tproxies.a.upstream: https:// carries no UDP: queries for names go past "
                f"it, directly; {ADD}"
            ],
        ),
        ("upstream: direct://", []),
        ("upstream: socks5://h, dns: {}", []),
        ("upstream: http://h, dns-hijack: {}", []),
        ("upstream: socks5://h, no-udp: true", []),
        (
            "no-udp: true, upstream: socks5://h, dns: {}",
            [
                f"6:33: tproxies.a.no-udp: {PAST}, and UDP to made-up addresses is refused; "
                "remove no-udp or dns"
            ],
        ),
        (
            "no-udp: true, upstream: socks5://h, dns: {mode: forward}",
            [f"6:33: tproxies.a.no-udp: {PAST}; remove no-udp or dns"],
        ),
        (
            "upstream: drop://, dns: {mode: forward, pool: 198.18.0.0/15, pool6: 'fd00::/9'}",
            [f"6:71: tproxies.a.dns.pool: {NEVER}", f"6:93: tproxies.a.dns.pool6: {NEVER}"],
        ),
        (
            "upstream: drop://, dns: {ttl: 1, mode: forward, exclude: []}",
            [f"6:55: tproxies.a.dns.ttl: {NEVER}"],
        ),
    ],
)
def test_warnings(warnings: Faults, keys: str, wanted: list[str]) -> None:
    assert warnings(text(keys)) == [f"f:{warning}" for warning in wanted]
