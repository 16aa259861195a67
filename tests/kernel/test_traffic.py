"""Every kind of rule, told by where real packets arrive."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import bed

SECOND, THIRD = {"port": 10003, "mark": 3001}, {"port": 10004, "mark": 3002}
THREE = {**bed.configuration.FIRST, "second": SECOND, "third": THIRD}
PING = str(bed.PROGRAMS / "ping.py")


@pytest.fixture
def three_servers(tproxy_server: bed.Responder) -> Iterator[None]:
    with bed.Responder("second", 10003), bed.Responder("third", 10004):
        yield


def test_each_target(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(bed.config()):
        assert bed.paths(cgroup("proxy")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("direct")) == bed.everywhere("origin")
        assert bed.paths(cgroup("other")) == bed.everywhere("origin")
        assert bed.paths(cgroup("drop"), timeout=0.5) == bed.DROPPED
        assert bed.paths(cgroup("proxy/deeper/still")) == bed.everywhere("tproxy")


def test_the_tproxy_server_learns_the_original_destination(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(bed.config()):
        for flow, outcome in bed.probe(cgroup("proxy"), *bed.flows(443)).items():
            assert outcome.local == (flow.host, 443)
            assert outcome.client in (bed.HOST4, bed.HOST6)


def test_the_first_rule_that_matches_wins(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    rules = {"^/a/special": "first", "^/a/": "direct", "special": "drop"}
    with bed.Daemon(bed.config(rules)):
        assert bed.paths(cgroup("a/special")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("a/b/special")) == bed.everywhere("origin")
        assert bed.paths(cgroup("b/special"), timeout=0.5) == bed.DROPPED


def test_the_deepest_decision_wins_and_the_undecided_follow_their_ancestor(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    rules = {"^/a$": "drop", "^/a/b$": "direct", "^/a/b/c$": "first", "/c/d/e$": "drop"}
    with bed.Daemon(bed.config(rules)):
        assert bed.paths(cgroup("a/sibling"), timeout=0.5) == bed.DROPPED
        assert bed.paths(cgroup("a/b/sibling")) == bed.everywhere("origin")
        assert bed.paths(cgroup("a/b/c/d")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("a/b/c/d/e/f"), timeout=0.5) == bed.DROPPED


def test_a_catch_all_decides_the_root_too(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(bed.config({"^/direct": "direct", ".": "first"})):
        assert bed.paths(bed.Cgroup("/")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("a/b")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("direct/a")) == bed.everywhere("origin")
        assert len(bed.map_elements("cgroup-vmap")) == 2  # the map is minimal: / and /direct


def test_three_tproxies_with_opposite_decisions_inside_each_other(
    three_servers: None, cgroup: bed.MakeCgroup
) -> None:
    rules = {"1$": "first", "2$": "second", "3$": "third", "direct$": "direct", "drop$": "drop"}
    with bed.Daemon(bed.config(rules, tproxies=THREE)):
        for path, by in {
            "1": "tproxy",
            "1/2": "second",
            "1/2/3": "third",
            "1/2/3/1": "tproxy",
            "1/2/3/1/direct": "origin",
            "2/x/3/x": "third",
            "2/x/3/x/2": "second",
            "3/direct/x": "origin",
            "3/direct/x/3": "third",
            "drop/2/x": "second",
        }.items():
            assert (path, bed.paths(cgroup(path))) == (path, bed.everywhere(by))
        for path in ("1/drop", "2/drop", "1/2/3/drop/x"):
            assert (path, bed.paths(cgroup(path), timeout=0.5)) == (path, bed.DROPPED)


@pytest.mark.parametrize("name", ["first", "third"])
def test_no_udp_and_no_ipv6_are_direct_in_fact(
    three_servers: None, cgroup: bed.MakeCgroup, name: str
) -> None:
    by = {"first": "tproxy", "third": "third"}[name]
    for key, direct in (
        ("no-udp", {"udp4", "udp6"}),
        ("no-ipv6", {"tcp6", "udp6"}),
    ):
        tproxies = {**THREE, name: {**THREE[name], key: True}}
        with bed.Daemon(bed.config({"^/app": name}, tproxies=tproxies)):
            expected = bed.everywhere(by) | dict.fromkeys(direct, "origin")
            assert bed.paths(cgroup(f"app-{key}")) == expected


def test_bypassed_destinations_are_never_touched(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    bypass = [
        *("198.51.100.0/24", "198.51.100.0/28", "198.51.100.7", "198.51.101.0/24"),
        *("203.0.113.9/24", "2001:db8:1::/48", "2001:db8:1:2::/64", "2001:db8:1::7"),
    ]
    with bed.Daemon(bed.config(bypass=bypass)):
        proxied, dropped = cgroup("proxy"), cgroup("drop")
        for host4, host6 in (
            ("198.51.100.7", "2001:db8:1::7"),
            ("198.51.100.255", "2001:db8:1:2::1"),
            ("203.0.113.0", "2001:db8:1:ffff:ffff:ffff:ffff:ffff"),
        ):
            assert bed.paths(proxied, host4=host4, host6=host6) == bed.everywhere("origin")
            assert bed.paths(dropped, host4=host4, host6=host6) == bed.everywhere("origin")
        for host4, host6 in (
            ("198.51.99.255", "2001:db8:0:ffff::"),
            ("198.51.102.0", "2001:db8:2::"),
        ):
            assert bed.paths(proxied, host4=host4, host6=host6) == bed.everywhere("tproxy")


def test_a_bypass_of_everything(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(bed.config(bypass=["0.0.0.0/0", "::/0", "10.0.0.0/8"])):
        assert bed.paths(cgroup("proxy")) == bed.everywhere("origin")
        assert bed.paths(cgroup("drop")) == bed.everywhere("origin")


@pytest.mark.parametrize("path", ["proxy", "drop"])
def test_answers_to_a_remote_host_are_untouched(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, path: str
) -> None:
    home = cgroup(path)
    with bed.Daemon(bed.config()), bed.Responder("served", 8080, cgroup=home):
        asked = bed.flows(8080, bed.HOST4, bed.HOST6)
        seen = bed.probe(None, *asked, wrapper=bed.OUTSIDE)
        assert {flow.name: outcome.by for flow, outcome in seen.items()} == bed.everywhere("served")


def test_only_tcp_and_udp_are_touched(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    bed.run("sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    with bed.Daemon(bed.config()):
        for app in (cgroup("proxy"), cgroup("drop")):
            for arguments in (("2", "1", "8", bed.REMOTE4), ("10", "58", "128", bed.REMOTE6)):
                assert app.spawn([sys.executable, PING, *arguments]).wait() == 0


def test_without_a_tproxy_server_traffic_is_refused_at_once(cgroup: bed.MakeCgroup) -> None:
    """Above all it does not reach a server of this host on the destination's port."""
    nobody = {"first": {"port": 9, "mark": 3000}}
    with bed.Daemon(bed.config(tproxies=nobody)), bed.Responder("local", 80):
        # The outside address that no other test uses: a server of theirs may still be bound there.
        unused: dict[str, Any] = {"host4": "198.51.100.80", "host6": "2001:db8::80"}
        # Linux sends no ICMP (v4) error for a datagram whose destination is not its own address:
        # icmp_send() would answer from there, and ip_route_output_key() refuses that source.
        refused = {**bed.everywhere("refused"), "udp4": "timeout"}
        assert bed.paths(cgroup("proxy"), **unused) == refused
        assert bed.paths(cgroup("proxy/a"), host4="127.0.0.1", host6="::1") == bed.everywhere(
            "local"
        )


def test_marks_and_rules_of_others_keep_their_meaning(cgroup: bed.MakeCgroup) -> None:
    """A packet with a foreign mark goes where the foreign ip rule says, with and without us."""
    marked = "198.51.100.77"
    bed.nft(f"""
        table inet theirs {{
            chain output {{
                type route hook output priority -300
                ip daddr {marked} meta mark set 0x77
            }}
        }}""")
    bed.run("ip", "rule", "add", "fwmark", "0x77", "lookup", "77", "priority", "900")
    bed.run("ip", "route", "add", "local", "default", "dev", "lo", "table", "77")
    before = bed.nft_listing(), bed.ip_rules(4), bed.ip_rules(6), bed.ip_routes(4, 77)
    expected = {**bed.everywhere("origin"), "tcp4": "theirs", "udp4": "theirs"}
    with bed.Responder("theirs", 80):
        with bed.Daemon(bed.config()):
            assert bed.paths(cgroup("direct"), host4=marked) == expected
        assert bed.paths(cgroup("direct/a"), host4=marked) == expected
    assert (bed.nft_listing(), bed.ip_rules(4), bed.ip_rules(6), bed.ip_routes(4, 77)) == before
    bed.reset()


def test_sing_box_gets_it_all_and_carries_it_on(
    sing_box: bed.Program, cgroup: bed.MakeCgroup
) -> None:
    tproxies = {"box": {"port": bed.SING_BOX_PORT, "mark": 7}}
    with bed.Daemon(bed.config({"^/sing-box": "direct", ".": "box"}, tproxies=tproxies)):
        seen = bed.probe(cgroup("app"), *bed.flows(443), timeout=5)
        assert {flow.name: outcome.by for flow, outcome in seen.items()} == bed.everywhere("origin")
        for flow, outcome in seen.items():
            assert outcome.local == (flow.host, 443)
            assert outcome.client in (bed.PROXY4, bed.PROXY6)


def test_a_connection_keeps_talking_through_sing_box(
    sing_box: bed.Program, cgroup: bed.MakeCgroup
) -> None:
    tproxies = {"box": {"port": bed.SING_BOX_PORT, "mark": 7}}
    with bed.Daemon(bed.config({"^/app": "box"}, tproxies=tproxies)):
        app = cgroup("app")
        for flow in bed.flows():
            with bed.Conversation(app, flow) as talk:
                for _ in range(3):
                    assert {outcome.by for outcome in talk.ask(5)} == {"origin"}
