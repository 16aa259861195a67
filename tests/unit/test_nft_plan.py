"""What the table is told of a configuration: names, verdicts, hijacked queries, bypass."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import DIRECT, DROP, Config, Decision, DnsHijack, FakePool, Tproxy
from cgtproxy.nft.plan import Dispatch, HijackRule, Plan, queries
from cgtproxy.nft.ruleset import build
from config.documents import NAMES
from unit.configurations import configurations, server_of

LOCAL4, LOCAL6 = IPv4Address("127.0.0.1"), IPv6Address("::1")
LONGEST_IDENTIFIER = 255  # NFT_NAME_MAXLEN less the NUL


def plan(*tproxies: Tproxy, bypass: tuple[str, ...] = ()) -> Plan:
    return Plan(Config(None, 300, bypass=tuple(map(ip_network, bypass)), tproxies=tproxies))


def hijack(
    ip: IPv4Address | None = LOCAL4,
    ip6: IPv6Address | None = None,
    port: int = 5300,
    *,
    tcp: bool = False,
    loopback: bool = True,
) -> DnsHijack:
    return DnsHijack(ip, ip6, port, tcp, loopback)


@given(st.lists(NAMES, unique=True, max_size=8))
def test_any_names_give_different_identifiers_that_nft_reads(names: list[str]) -> None:
    tproxies = [Tproxy(name, 1, mark) for mark, name in enumerate(names, 1)]
    table = build(plan(*tproxies), [0])
    for kind in (table.chains, table.sets):
        made = [item.name for item in kind]
        assert len(set(made)) == len(made)
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_.-]*", name) for name in made)
        assert all(len(name) <= LONGEST_IDENTIFIER for name in made)


@pytest.mark.parametrize(
    ("names", "identifiers"),
    [
        (["a"], ["a"]),
        (["a b", "a/b", "a_b"], ["a_b", "a_b.2", "a_b.3"]),
        (["a/b", "a_b", "a_b.2"], ["a_b", "a_b.2", "a_b.2.2"]),
        (["代理", "プロ"], ["__", "__.2"]),
        (["x" * 101], ["x" * 100]),
    ],
)
def test_identifiers(names: list[str], identifiers: list[str]) -> None:
    tproxies = [Tproxy(name, 1, mark) for mark, name in enumerate(names, 1)]
    assert plan(*tproxies).names == dict(zip(names, identifiers, strict=True))


@pytest.mark.parametrize(
    ("bypass", "four", "six"),
    [
        ((), [], []),
        (("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1"), ["10.0.0.0/8"], []),
        (("10.0.0.0/8", "11.0.0.0/8"), ["10.0.0.0/7"], []),
        (("11.0.0.0/9", "10.0.0.0/8"), ["10.0.0.0/8", "11.0.0.0/9"], []),
        (("10.0.0.1", "10.0.0.1"), ["10.0.0.1/32"], []),
        (("::1", "127.0.0.0/8", "fe80::/10"), ["127.0.0.0/8"], ["::1/128", "fe80::/10"]),
        (("128.0.0.0/1", "0.0.0.0/1"), ["0.0.0.0/0"], []),
    ],
)
def test_overlapping_bypass_entries_are_merged(
    bypass: tuple[str, ...], four: list[str], six: list[str]
) -> None:
    merged = plan(bypass=bypass).bypass
    assert merged == {4: list(map(ip_network, four)), 6: list(map(ip_network, six))}


def test_fake_ip_addresses_are_carved_out_of_the_bypass() -> None:
    pool = FakePool(IPv4Network("198.18.0.0/15"), IPv6Network("fc00::/8"))
    bypass = ("198.16.0.0/14", "198.19.0.0/16", "fc00::/7", "::1")
    made = plan(Tproxy("t", 1, 1, server=server_of(pool)), bypass=bypass)
    assert made.bypass == {
        4: [ip_network("198.16.0.0/15")],
        6: [ip_network("::1"), ip_network("fd00::/8")],
    }


A, B = Tproxy("a", 1, 1), Tproxy("b", 2, 2)
ACCEPT = Dispatch("accept")


def redirected(name: str) -> Decision:
    return Decision("tproxy", name)


@pytest.mark.parametrize(
    ("tproxies", "dispatches"),
    [
        ([], {DIRECT: ACCEPT, DROP: Dispatch("continue", "drop-cgroup")}),
        (
            [A],
            {
                DIRECT: ACCEPT,
                DROP: Dispatch("return", "drop-cgroup"),
                redirected("a"): Dispatch("continue", "mark-a"),
            },
        ),
        (
            [A, B],
            {
                DIRECT: ACCEPT,
                DROP: Dispatch("return", "drop-cgroup", "to-drop-cgroup"),
                redirected("a"): Dispatch("continue", "mark-a"),
                redirected("b"): Dispatch("return", "mark-b", "to-mark-b"),
            },
        ),
    ],
)
def test_dispatches(tproxies: list[Tproxy], dispatches: dict[Decision, Dispatch]) -> None:
    assert plan(*tproxies).dispatches == dispatches


@given(configurations())
def test_the_map_tells_every_target_from_every_other(config: Config) -> None:
    dispatches = Plan(config).dispatches
    assert len(set(dispatches.values())) == len(dispatches) == len(config.tproxies) + 2
    left = [dispatch for dispatch in dispatches.values() if dispatch.verdict == "return"]
    assert len(left) == 1 or len({dispatch.set_name for dispatch in left}) == len(left)


OUTSIDE4, OUTSIDE6 = IPv4Address("192.0.2.53"), IPv6Address("2001:db8::53")
UDP4 = HijackRule(4, "udp", LOCAL4, 5300, True)
TCP4 = HijackRule(4, "tcp", LOCAL4, 5300, True)
UDP6 = HijackRule(6, "udp", LOCAL6, 5300, True)
TCP6 = HijackRule(6, "tcp", LOCAL6, 5300, True)


@pytest.mark.parametrize(
    ("tproxy", "wanted"),
    [
        (A, []),
        (Tproxy("t", 1, 1, dns_hijack=hijack()), [UDP4]),
        (Tproxy("t", 1, 1, dns_hijack=hijack(tcp=True)), [UDP4, TCP4]),
        (Tproxy("t", 1, 1, dns_hijack=hijack(ip6=LOCAL6)), [UDP4, UDP6]),
        (Tproxy("t", 1, 1, dns_hijack=hijack(None, LOCAL6, tcp=True)), [UDP6, TCP6]),
        (Tproxy("t", 1, 1, no_ipv6=True, dns_hijack=hijack(None, LOCAL6)), []),
        (
            Tproxy("t", 1, 1, dns_hijack=hijack(ip6=LOCAL6, tcp=True)),
            [UDP4, TCP4, UDP6, TCP6],
        ),
        (Tproxy("t", 1, 1, no_udp=True, dns_hijack=hijack(ip6=LOCAL6)), []),
        (Tproxy("t", 1, 1, no_udp=True, dns_hijack=hijack(tcp=True)), [TCP4]),
        (Tproxy("t", 1, 1, no_ipv6=True, dns_hijack=hijack(ip6=LOCAL6)), [UDP4]),
        (
            Tproxy("t", 1, 1, no_udp=True, no_ipv6=True, dns_hijack=hijack(ip6=LOCAL6, tcp=True)),
            [TCP4],
        ),
        (
            Tproxy("t", 1, 1, dns_hijack=hijack(loopback=False)),
            [HijackRule(4, "udp", LOCAL4, 5300, False)],
        ),
        (
            # What comes from a loopback address cannot leave for a server outside.
            Tproxy("t", 1, 1, dns_hijack=hijack(OUTSIDE4, OUTSIDE6)),
            [
                HijackRule(4, "udp", OUTSIDE4, 5300, False),
                HijackRule(6, "udp", OUTSIDE6, 5300, False),
            ],
        ),
    ],
)
def test_hijacked_queries(tproxy: Tproxy, wanted: list[HijackRule]) -> None:
    assert queries(tproxy) == wanted
