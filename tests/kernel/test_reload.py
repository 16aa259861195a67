"""SIGHUP: the new configuration in one step, or the old one untouched."""

from __future__ import annotations

from typing import Any

import pytest

import bed

FIRST = bed.configuration.FIRST["first"]


def ours(family: int) -> Any:
    """What there is of policy routing besides the kernel's own: (priority, mark, table)."""
    rules = [rule for rule in bed.ip_rules(family) if rule["priority"] not in (0, 32766, 32767)]
    return [(rule["priority"], int(rule["fwmark"], 16), rule["table"]) for rule in rules]


def state() -> Any:
    return bed.nft_listing(), [
        (ours(f), bed.ip_routes(f, 300), bed.ip_routes(f, 301)) for f in (4, 6)
    ]


def test_decisions_change(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    app, other = cgroup("proxy"), cgroup("other")
    with bed.Daemon(bed.config()) as daemon:
        assert bed.paths(app) == bed.everywhere("tproxy")
        daemon.reload(bed.config({"^/other": "first"}))
        assert bed.paths(app) == bed.everywhere("origin")
        assert bed.paths(other) == bed.everywhere("tproxy")
        daemon.reload(bed.config({".": "direct", "^/proxy": "first"}))
        assert bed.paths(app) == bed.paths(other) == bed.everywhere("origin")
        daemon.wait_line("WARNING.*never decides")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("version: 1\n  rules: [", r"config.yaml:2:\d+: "),
        (bed.config({"(": "direct"}), r"rules\[0\].match: .*missing \)"),
        (bed.config(route_table=254), "route-table: .*254"),
        (bed.config({".": "nobody"}), "no TPROXY has the name 'nobody'"),
    ],
)
def test_a_bad_file_is_told_and_changes_nothing(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, text: str, wrong: str
) -> None:
    app = cgroup("proxy")
    with bed.Daemon(bed.config()) as daemon:
        before = state()
        daemon.reload(text)
        daemon.wait_line("ERROR +not reloaded, the old configuration stays in force")
        daemon.wait_line(wrong)
        assert state() == before
        assert bed.paths(app) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("drop"), timeout=0.5) == bed.DROPPED  # it goes on working
        daemon.config.unlink()
        daemon.reload()
        assert bed.paths(app) == bed.everywhere("tproxy")
        daemon.reload(bed.config({".": "direct"}))
        assert bed.paths(app) == bed.everywhere("origin")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tproxies": {"first": {**FIRST, "mark": 0xFFFFFFFF}}}, (1000, 0xFFFFFFFF, "300")),
        ({"tproxies": {"first": {**FIRST, "port": 10003}}}, (1000, 3000, "300")),
        ({"route_table": 4294967295}, (1000, 3000, "4294967295")),
        ({"rule_priority": 32765}, (32765, 3000, "300")),
        ({"rule_priority": 1, "route_table": 301}, (1, 3000, "301")),
        ({"cgroup_root": "/sys/fs/cgroup"}, (1000, 3000, "300")),
        ({"bypass": []}, (1000, 3000, "300")),
    ],
    ids=["mark", "port", "table", "priority", "table-and-priority", "cgroup-root", "bypass"],
)
def test_nothing_leaks_while_keys_change(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, change: dict[str, Any], expected: Any
) -> None:
    """Not a packet: what is proxied or dropped stays so throughout, and connections live on."""
    app = cgroup("proxy")
    with (
        bed.Responder("tproxy", 10003),
        bed.Daemon(bed.config()) as daemon,
        bed.Conversation(app, bed.flows()[0]) as talk,
        bed.Prober(app, *bed.flows()) as proxied,
        bed.Prober(cgroup("drop"), *bed.flows(), timeout=0.5, interval=0.02) as dropped,
    ):
        proxied.wait_rounds(3)
        daemon.reload(bed.config(**change))
        assert [ours(4), ours(6)] == [[expected], [expected]]
        proxied.wait_rounds(3)
        daemon.reload(bed.config())
        assert [ours(4), ours(6)] == [[(1000, 3000, "300")]] * 2
        proxied.wait_rounds(3), dropped.wait_rounds(3)
        assert talk.ask()[0].by == "tproxy"
    assert {record.outcome.by for record in proxied.records} == {"tproxy"}
    assert {record.outcome.by for record in dropped.records} == {"timeout", "denied"}


def test_connections_whose_decision_stays_are_not_disturbed(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    hijack = {"first": {**FIRST, "dns-hijack": {"port": 5300, "tcp": True, "ip6": "::1"}}}
    proxied, direct = cgroup("proxy"), cgroup("direct")
    with bed.Responder("dns", 5300), bed.Daemon(bed.config(tproxies=hijack)) as daemon:
        talks = [
            *((bed.Conversation(proxied, flow), "tproxy") for flow in bed.flows()),
            *((bed.Conversation(proxied, flow), "dns") for flow in bed.flows(53)),
            *((bed.Conversation(direct, flow), "origin") for flow in bed.flows()),
        ]
        for talk, _ in talks:
            talk.start()
        second: dict[str, dict[str, Any]] = {**hijack, "second": {"port": 10003, "mark": 5}}
        drop_more = {**bed.configuration.BY_NAME, "^/more": "drop", "^/x": "second"}
        for config in (
            bed.config(tproxies=hijack),
            bed.config(drop_more, tproxies=second, bypass=["203.0.113.0/24"]),
            bed.config(tproxies=hijack, rule_priority=77, route_table=301),
        ):
            assert [(talk.ask()[0].by, by) for talk, by in talks] == [(by, by) for _, by in talks]
            daemon.reload(config)
            assert [(talk.ask()[0].by, by) for talk, by in talks] == [(by, by) for _, by in talks]
        for talk, _ in talks:
            talk.stop()


def test_a_connection_opened_from_outside_lives_on(cgroup: bed.MakeCgroup) -> None:
    home = cgroup("proxy")
    flow = bed.Flow("tcp", bed.HOST4, 8080)
    with (
        bed.Responder("served", 8080, cgroup=home),
        bed.Daemon(bed.config()) as daemon,
        bed.Conversation(None, flow, wrapper=bed.OUTSIDE) as talk,
    ):
        assert talk.ask()[0].by == "served"
        daemon.reload(bed.config({".": "drop"}))
        assert talk.ask()[0].by == "served"


def test_what_is_not_wanted_any_more_goes(cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(bed.config()) as daemon:
        daemon.reload(bed.config({"^/drop": "drop"}, tproxies={}))
        assert [ours(4), ours(6)] == [[], []]
        assert not bed.ip_routes(4, 300)
        assert not bed.ip_routes(6, 300)
        assert "mark" not in bed.nft_listing()
        assert bed.paths(cgroup("drop"), timeout=0.5) == bed.DROPPED


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_reload_that_the_kernel_refuses_changes_nothing(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, family: str
) -> None:
    app = cgroup("proxy")
    theirs = ("local", "default", "dev", "lo", "table", "301")
    bed.run("ip", family, "route", "add", *theirs)
    with bed.Daemon(bed.config()) as daemon:
        before = state()
        with bed.Prober(app, *bed.flows()) as prober:
            prober.wait_rounds(3)
            daemon.reload(bed.config({".": "direct"}, route_table=301, rule_priority=7))
            daemon.wait_line("not reloaded.*another program has")
            prober.wait_rounds(3)
        assert state() == before
        assert {record.outcome.by for record in prober.records} == {"tproxy"}
        bed.run("ip", family, "route", "del", *theirs)
        daemon.reload()
        assert bed.paths(app) == bed.everywhere("origin")


def test_another_cgroup_root(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    inner, outer = cgroup("sub/proxy"), cgroup("proxy")
    with bed.Daemon(bed.config()) as daemon:
        assert bed.paths(outer) == bed.everywhere("tproxy")
        daemon.reload(bed.config(cgroup_root="/sys/fs/cgroup/sub"))
        assert bed.paths(inner) == bed.everywhere("tproxy")
        assert bed.paths(outer) == bed.everywhere("origin")
        assert bed.paths(cgroup("sub/drop"), timeout=0.5) == bed.DROPPED
        daemon.reload(bed.config(cgroup_root="/sys/fs/cgroup/none"))
        daemon.wait_line("not reloaded.*cgroup-root /sys/fs/cgroup/none")
        assert bed.paths(inner) == bed.everywhere("tproxy")
        daemon.reload(bed.config())
        assert bed.paths(outer) == bed.everywhere("tproxy")
        assert bed.paths(inner) == bed.everywhere("origin")
