"""The keys of `dns`: what is at fault with one of them, and with several together."""

from __future__ import annotations

import pytest

from config.texts import Faults, file_of

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
    (told,) = faults(file_of(f"upstream: drop://, dns: {{{keys}}}"))
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
                "on line 7; must not be a listener of the built-in server"
            ],
        ),
    ],
)
def test_faults_between_keys(faults: Faults, tproxies: list[str], wanted: list[str]) -> None:
    assert faults(file_of(*tproxies)) == [f"f:{fault}" for fault in wanted]


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
    assert warnings(file_of(*tproxies)) == []
