"""Whatever is taken away comes back by itself, is told in one line, and nothing leaks meanwhile.

How long it took stands in the tests' output (pytest -s): no test depends on the clock.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import bed

RULE = "fwmark 0xbb8 lookup 300"
ROUTE = "route local default dev lo table 300"


@pytest.fixture
def proxied(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> Iterator[Any]:
    """A proxied app that talks all the time, none of whose packets may go direct."""
    with bed.Daemon(bed.config()) as daemon:
        with bed.Prober(cgroup("proxy"), *bed.flows()) as prober:
            prober.wait_rounds(2)
            yield daemon
            prober.wait_rounds(2)
        assert "origin" not in {record.outcome.by for record in prober.records}
        assert {r.outcome.by for r in prober.records[-8:]} >= {"tproxy"}
        assert "Traceback" not in daemon.output


def mended(daemon: bed.Daemon) -> list[str]:
    return [line.partition("mended: ")[2] for line in daemon.lines if "mended: " in line]


def wait_mended(daemon: bed.Daemon, what: str, *, since: int = 0) -> None:
    begin = time.monotonic()
    line = daemon.wait_line(f"WARNING mended: .*{what}", since=since)
    print(f"\n{1000 * (time.monotonic() - begin):.1f} ms until: {line}")


@contextmanager
def stopped(program: bed.Program) -> Iterator[None]:
    program.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.process.send_signal(signal.SIGCONT)


def policy_routing() -> Any:
    return [(bed.ip_rules(family), bed.ip_routes(family, 300)) for family in (4, 6)]


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize(
    ("vandalism", "what"),
    [
        (["rule del priority 1000"], f"missing IPv{{}} rule 1000: {RULE}"),
        (
            ["rule del priority 1000", "rule add fwmark 3000 lookup 7 priority 1000 protocol 107"],
            f"missing IPv{{}} rule 1000: {RULE}",
        ),
        (["route flush table 300"], f"missing IPv{{}} {ROUTE}"),
        (["route del local default dev lo table 300"], f"missing IPv{{}} {ROUTE}"),
        (
            ["rule del priority 1000", "route flush table 300"],
            f"missing IPv{{0}} {ROUTE}; missing IPv{{0}} rule 1000: {RULE}",
        ),
    ],
    ids=["rule", "altered-rule", "flushed-table", "route", "both"],
)
def test_policy_routing(proxied: Any, family: str, vandalism: list[str], what: str) -> None:
    before = policy_routing()
    with stopped(proxied):
        bed.run("ip", f"-{family}", "-batch", "-", stdin="\n".join(vandalism))
    wait_mended(proxied, "IPv")
    assert policy_routing() == before
    assert mended(proxied) == [what.format(family)]


def test_a_burst_of_faults_is_one_repair(proxied: Any) -> None:
    before = policy_routing()
    with stopped(proxied):
        for family in ("-4", "-6"):
            bed.run("ip", family, "rule", "del", "priority", "1000")
            bed.run("ip", family, "route", "flush", "table", "300")
    wait_mended(proxied, "IPv4")
    assert policy_routing() == before
    assert [line.count("missing") for line in mended(proxied)] == [4]


def test_rules_and_routes_of_others_are_nobodys_fault(proxied: Any) -> None:
    bed.run("ip", "rule", "add", "fwmark", "9", "lookup", "77", "priority", "900")
    bed.run("ip", "route", "add", "local", "default", "dev", "lo", "table", "77")
    bed.run("ip", "rule", "del", "priority", "900")
    bed.run("ip", "route", "flush", "table", "77")
    bed.run("ip", "rule", "del", "priority", "1000")  # a barrier: ours, at last
    wait_mended(proxied, "rule")
    assert mended(proxied) == [f"missing IPv4 rule 1000: {RULE}"]


def test_somebody_elses_route_in_place_of_ours_is_told_until_it_is_gone(proxied: Any) -> None:
    bed.run("ip", "route", "replace", "unreachable", "default", "table", "300")
    proxied.wait_line("ERROR .*IPv4 route local default dev lo table 300: another program has")
    proxied.wait_notified("STATUS=degraded: cannot add the IPv4 route.*")
    bed.run("ip", "route", "del", "unreachable", "default", "table", "300")
    proxied.wait_line("recovered from: cannot add the IPv4 route")
    proxied.wait_notified(r"STATUS=\d+ cgroups.*", since=len(proxied.notified))


def test_lo_down_and_up(proxied: Any, cgroup: bed.MakeCgroup) -> None:
    bed.run("ip", "link", "set", "lo", "down")
    try:
        bed.wait_until(lambda: not bed.ip_routes(4, 300), "the kernel to remove the route")
        assert "origin" not in bed.paths(cgroup("proxy/early"), timeout=0.5).values()
    finally:
        bed.run("ip", "link", "set", "lo", "up")
    wait_mended(proxied, "IPv4 route")
    assert bed.paths(cgroup("proxy/late")) == bed.everywhere("tproxy")
    assert "ERROR" not in proxied.output


def test_ipv6_off_and_on_for_lo(proxied: Any, cgroup: bed.MakeCgroup) -> None:
    off = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
    off.write_text("1")
    try:
        late = cgroup("proxy/late")
        seen = bed.paths(late, timeout=1)
        assert (seen["tcp4"], seen["udp4"]) == ("tproxy", "tproxy")
        assert "origin" not in seen.values()
    finally:
        off.write_text("0")
    bed.wait_until(lambda: bed.ip_routes(6, 300), "the IPv6 route")
    assert bed.paths(late) == bed.everywhere("tproxy")


def test_lost_notifications_of_routing(proxied: Any) -> None:
    """While the daemon sleeps its socket overflows; the one change that matters comes last."""
    flood = "rule add fwmark 1 lookup 77 priority 900\nrule del priority 900\n" * 2000
    with stopped(proxied):
        bed.run("ip", "-batch", "-", stdin=flood)
        assert _lost_notifications(proxied.pid) > 0
        bed.run("ip", "rule", "del", "priority", "1000")
    wait_mended(proxied, "IPv4 rule 1000")
    assert mended(proxied) == [f"missing IPv4 rule 1000: {RULE}"]


def _lost_notifications(pid: int) -> int:
    """What its rtnetlink sockets had no room for: column 9 of /proc/net/netlink."""
    inodes = {
        link.readlink().name.strip("socket:[]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if "socket" in str(link.readlink())
    }
    lines = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return sum(int(fields[8]) for fields in lines if fields[1] == "0" and fields[9] in inodes)


def test_lost_events_of_cgroups(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(bed.config()) as daemon:
        with stopped(daemon):
            fill_queue_of_events()
            dropped = [cgroup(f"drop-{number}") for number in range(100)]
            proxied = cgroup("proxy")
        wait_mended(daemon, "inotify events were lost")
        wanted = {one.id: "return" for one in dropped} | {proxied.id: "continue"}
        assert bed.verdicts() == wanted
        assert len(mended(daemon)) == 1
        known = len(daemon.lines)
        with stopped(daemon):
            fill_queue_of_events()
            for one in dropped:
                one.remove()
        wait_mended(daemon, "inotify events were lost", since=known)
        assert bed.verdicts() == {proxied.id: "continue"}
        assert bed.paths(proxied) == bed.everywhere("tproxy")


def fill_queue_of_events() -> None:
    """The queue's length is the whole host's, so it is not made shorter here."""
    length = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    brief = bed.Cgroup("brief")
    for _ in range(length // 2 + 1):
        brief.mkdir().rmdir()
