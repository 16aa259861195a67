"""dns-hijack: which queries get to which server, and what the asking program notices of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import bed

DNS_PORT = 5300
ALL = {"port": DNS_PORT, "tcp": True, "ip6": "::1"}
LOOPBACK: dict[str, Any] = {"host4": "127.0.0.53", "host6": "::1"}


def hijacking(
    hijack: Mapping[str, Any], rules: Mapping[str, str] = bed.configuration.BY_NAME, **keys: Any
) -> str:
    tproxies = {"first": {**bed.configuration.FIRST["first"], "dns-hijack": hijack}}
    return bed.config(rules, tproxies=tproxies, **keys)


@pytest.fixture
def dns() -> Iterator[bed.Responder]:
    with bed.Responder("dns", DNS_PORT) as server:
        yield server


@pytest.fixture
def stub() -> Iterator[bed.Responder]:
    with bed.Responder("stub", 53) as server:
        yield server


def test_by_default_it_takes_udp_queries_over_ipv4(
    dns: bed.Responder, tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(hijacking({"port": DNS_PORT})):
        app = cgroup("proxy")
        assert bed.paths(app, 53) == bed.everywhere("tproxy") | {"udp4": "dns"}
        assert bed.paths(app, 443) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("direct"), 53) == bed.everywhere("origin")


def test_tcp_and_ipv6_where_told_to(
    dns: bed.Responder, tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    app = cgroup("proxy")
    with bed.Daemon(hijacking({"port": DNS_PORT, "tcp": True})) as daemon:
        seen = bed.paths(app, 53)
        assert seen == bed.everywhere("tproxy") | {"udp4": "dns", "tcp4": "dns"}
        daemon.reload(hijacking({"port": DNS_PORT, "ip6": "::1"}))
        seen = bed.paths(app, 53)
        assert seen == bed.everywhere("tproxy") | {"udp4": "dns", "udp6": "dns"}
        daemon.reload(hijacking(ALL))
        probed = bed.probe(app, *bed.flows(53))
        assert {flow.name: outcome.by for flow, outcome in probed.items()} == bed.everywhere("dns")
        locals_ = {outcome.local for outcome in probed.values()}
        assert locals_ == {("127.0.0.1", DNS_PORT), ("::1", DNS_PORT)}


def test_a_stub_resolver_on_loopback_is_hijacked_before_the_bypass(
    dns: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(hijacking(ALL)):
        assert bed.paths(cgroup("proxy"), 53, **LOOPBACK) == bed.everywhere("dns")
        assert bed.paths(cgroup("other"), 53, **LOOPBACK) == bed.everywhere("stub")


def test_a_stub_resolver_is_left_alone_where_told_to(
    dns: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(hijacking({**ALL, "loopback": False})):
        assert bed.paths(cgroup("proxy"), 53, **LOOPBACK) == bed.everywhere("stub")
        assert bed.paths(cgroup("proxy/a"), 53) == bed.everywhere("dns")


def test_queries_that_are_not_hijacked_keep_to_the_bypass(
    dns: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """The chain of loopback queries comes before the bypass, for UDP and TCP alike."""
    with bed.Daemon(hijacking({"port": DNS_PORT})):
        seen = bed.paths(cgroup("proxy"), 53, **LOOPBACK)
        assert seen == bed.everywhere("stub") | {"udp4": "dns"}


def test_a_dropped_app_still_reaches_a_bypassed_resolver(
    dns: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(hijacking(ALL)):
        app = cgroup("drop")
        assert bed.paths(app, 53, **LOOPBACK) == bed.everywhere("stub")
        assert bed.paths(app, 53, timeout=0.5) == bed.DROPPED
        assert bed.paths(app, 443, timeout=0.5) == bed.DROPPED


def test_the_server_may_be_on_port_53_itself(
    tproxy_server: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """An app that asks it by itself needs no NAT, and gets none."""
    with bed.Daemon(hijacking({"tcp": True, "ip6": "::1"})):
        app = cgroup("proxy")
        assert bed.paths(app, 53) == bed.everywhere("stub")
        for flow, outcome in bed.probe(app, *bed.flows(53, "127.0.0.1", "::1")).items():
            assert (outcome.by, outcome.local) == ("stub", (flow.host, 53))
            with bed.Conversation(app, flow) as talk:
                assert [outcome.by for outcome in (*talk.ask(2), *talk.ask(1))] == ["stub"] * 3
        assert bed.paths(app, 53, host4="127.0.0.53") == bed.everywhere("stub")


def test_a_server_elsewhere_gets_the_queries_as_our_own_traffic(
    tproxy_server: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    hijack = {"ip": "203.0.113.5", "ip6": "2001:db8:5::5", "port": 443, "tcp": True}
    with bed.Daemon(hijacking(hijack)):
        app = cgroup("proxy")
        for flow, outcome in bed.probe(app, *bed.flows(53)).items():
            server = hijack["ip6" if ":" in flow.host else "ip"]
            assert (outcome.by, outcome.local) == ("origin", (server, 443))
            assert outcome.client in (bed.HOST4, bed.HOST6)
        # From 127.0.0.1 nothing can leave the host, so these are not for that server.
        assert bed.paths(app, 53, **LOOPBACK) == bed.everywhere("stub")


@pytest.mark.parametrize("name", ["udp4", "tcp4", "udp6", "tcp6"])
@pytest.mark.parametrize("loopback", [False, True])
def test_several_queries_from_one_socket_all_get_there(
    dns: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup, name: str, loopback: bool
) -> None:
    """As resolvers ask for A and AAAA: only the first packet of a connection passes NAT."""
    (flow,) = (f for f in bed.flows(53, **(LOOPBACK if loopback else {})) if f.name == name)
    with bed.Daemon(hijacking(ALL)), bed.Conversation(cgroup("proxy"), flow) as talk:
        assert [outcome.by for outcome in talk.ask(2)] == ["dns", "dns"]
        assert [outcome.by for outcome in talk.ask(1)] == ["dns"]


def test_each_tproxy_has_its_own_server(
    dns: bed.Responder, tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    second: dict[str, Any] = {
        "port": 10003,
        "mark": 3001,
        "dns-hijack": {"port": 5301, "tcp": True},
    }
    first = {**bed.configuration.FIRST["first"], "dns-hijack": {"port": DNS_PORT}}
    third = {"port": 10004, "mark": 3002}
    tproxies = {"first": first, "second": second, "third": third}
    rules = {"^/1": "first", "^/2": "second", "^/3": "third", "drop$": "drop"}
    with (
        bed.Responder("dns2", 5301),
        bed.Responder("second", 10003),
        bed.Responder("third", 10004),
        bed.Daemon(bed.config(rules, tproxies=tproxies)),
    ):
        assert bed.paths(cgroup("1"), 53) == bed.everywhere("tproxy") | {"udp4": "dns"}
        seen = bed.paths(cgroup("2"), 53)
        assert seen == bed.everywhere("second") | {"udp4": "dns2", "tcp4": "dns2"}
        assert bed.paths(cgroup("2/3"), 53) == seen
        assert bed.paths(cgroup("3"), 53) == bed.everywhere("third")


def test_no_udp_and_no_ipv6_come_before_the_hijack(
    dns: bed.Responder, tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    first = {**bed.configuration.FIRST["first"], "dns-hijack": ALL}
    for key, direct in (("no-udp", {"udp4", "udp6"}), ("no-ipv6", {"tcp6", "udp6"})):
        tproxies = {"first": {**first, key: True}}
        with bed.Daemon(bed.config({"^/app": "first"}, tproxies=tproxies)):
            seen = bed.paths(cgroup(f"app-{key}"), 53)
            assert seen == bed.everywhere("dns") | dict.fromkeys(direct, "origin")


def test_resolvers_that_other_people_nat_to_keep_ours_first(
    dns: bed.Responder, stub: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """Docker and its like have destination NAT of their own for port 53."""
    bed.nft("""
        table ip theirs {
            chain output {
                type nat hook output priority -100
                udp dport 53 dnat to 127.0.0.1:53
            }
        }""")
    with bed.Daemon(hijacking({"port": DNS_PORT})):
        assert bed.paths(cgroup("proxy"), 53)["udp4"] == "dns"
        assert bed.paths(cgroup("other"), 53)["udp4"] == "stub"
    bed.reset()
