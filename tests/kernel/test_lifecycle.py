"""How the daemon starts, over whatever is there, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bed

TABLE_OF_1_0_0 = Path(__file__).with_name("ruleset-1.0.0.nft")
SQUAT = str(bed.PROGRAMS / "squatter.py")


def strangers_state() -> Any:
    """What others have in the kernel; none of it may be touched."""
    bed.nft("""
        table inet theirs {
            map m { type cgroupsv2 : verdict; }
            chain output { type filter hook output priority 0; meta mark 3001 counter; }
        }
        table ip cgtproxy {
            chain c { }
        }""")
    for family in ("-4", "-6"):
        bed.run("ip", family, "rule", "add", "fwmark", "3000", "lookup", "77", "priority", "900")
        bed.run("ip", family, "rule", "add", "fwmark", "9", "lookup", "77", "protocol", "3")
        bed.run("ip", family, "route", "add", "local", "default", "dev", "lo", "table", "77")
    return everything


def everything() -> Any:
    tables = bed.nft_listing()
    return [
        tables,
        *((bed.ip_rules(f), bed.ip_routes(f, 77), bed.ip_routes(f, 300)) for f in (4, 6)),
    ]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_leaves_nothing_of_its_own_and_all_of_others(
    how: signal.Signals, cgroup: bed.MakeCgroup
) -> None:
    cgroup("proxy"), cgroup("drop")
    look = strangers_state()
    before = look()
    with bed.Daemon(bed.config()) as daemon:
        assert look() != before
        assert daemon.stop(how) == 0
        assert look() == before
        assert "STOPPING=1" in daemon.notified
    bed.reset()


def test_stopped_it_leaves_nothing_even_where_part_of_it_is_gone_already() -> None:
    with bed.Daemon(bed.config()) as daemon:
        # Stopped, it can neither mend this nor know of it before it is told to end.
        daemon.process.send_signal(signal.SIGSTOP)
        bed.run("ip", "-6", "rule", "del", "priority", "1000")
        bed.run("ip", "route", "flush", "table", "300")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.wait() == 0


def test_killed_and_started_again_nothing_leaks(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    flows = bed.flows()
    daemon, app = bed.Daemon(bed.config()), cgroup("proxy")
    with daemon, bed.Conversation(app, flows[0]) as talk:
        with (
            bed.Prober(app, *flows, timeout=1, interval=0.02) as proxied,
            bed.Prober(cgroup("drop"), *flows, timeout=1, interval=0.02) as dropped,
        ):
            for _ in range(3):
                proxied.wait_rounds(5)
                daemon.kill()
                proxied.wait_rounds(5)
                daemon.start()
            proxied.wait_rounds(5), dropped.wait_rounds(5)
        assert {record.outcome.by for record in proxied.records} == {"tproxy"}
        assert {record.outcome.by for record in dropped.records} == {"timeout", "denied"}
        assert talk.ask()[0].by == "tproxy"


def test_clear_removes_what_a_killed_one_left_but_not_what_is_in_use() -> None:
    with bed.Daemon(bed.config()) as daemon:
        done = bed.cgtproxy("clear")
        assert (done.returncode, "stop it first" in done.stderr) == (75, True)
        assert bed.traces()
        daemon.kill()
        assert bed.traces()
        assert bed.cgtproxy("clear").returncode == 0
        assert not bed.traces()
        assert bed.cgtproxy("clear").returncode == 0
        daemon.start()


def test_cgroups_that_came_and_went_while_nobody_was_there(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    daemon = bed.Daemon(bed.config())
    with daemon:
        gone = cgroup("drop")
        bed.wait_until(lambda: len(bed.map_elements("cgroup-vmap")) == 1, "its element")
        daemon.kill()
        gone.remove()
        late = cgroup("proxy")
        daemon.start()
        assert len(bed.map_elements("cgroup-vmap")) == 1
        assert bed.paths(late) == bed.everywhere("tproxy")


def test_it_replaces_what_a_killed_daemon_left_of_another_configuration(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    app = cgroup("proxy")
    old: dict[str, dict[str, Any]] = {
        "old": {"port": 4, "mark": 99, "dns-hijack": {}},
        "older": {"port": 5, "mark": 98},
    }
    with bed.Daemon(
        bed.config(
            {"^/proxy": "old", "x": "older"}, tproxies=old, route_table=4711, rule_priority=5
        )
    ) as killed:
        assert len(bed.ip_rules(4)) == 3 + 2
        killed.kill()
    with bed.Daemon(bed.config()):
        assert bed.paths(app) == bed.everywhere("tproxy")
        for family in (4, 6):
            ours = [
                rule for rule in bed.ip_rules(family) if rule["priority"] not in (0, 32766, 32767)
            ]
            assert [(rule["priority"], rule["table"]) for rule in ours] == [(1000, "300")]
            assert not bed.ip_routes(family, 4711)
        assert "old" not in bed.nft_listing()


def test_it_replaces_a_table_of_its_name_that_nobody_owns(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    bed.nft("""
        table inet cgtproxy {
            set bypass { type ipv4_addr; flags interval; }
            map cgroup-vmap { type cgroupsv2 : verdict; }
            chain drop-all { type filter hook output priority 0; tcp dport 80 drop; }
        }""")
    with bed.Daemon(bed.config()):
        assert bed.paths(cgroup("proxy")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("direct")) == bed.everywhere("origin")
        assert "drop-all" not in bed.nft_listing()


def test_it_replaces_what_version_1_0_0_left(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    apps = [cgroup(path) for path in ("a", "b", "b/c")]
    bed.run("nft", "--file", str(TABLE_OF_1_0_0))
    with bed.Daemon(bed.config({"^/a$": "first", "^/b/c$": "drop"})) as daemon:
        installed = bed.daemons_table()
        printed = bed.cgtproxy("rules", "-c", str(daemon.config)).stdout
        assert bed.paths(apps[0]) == bed.everywhere("tproxy")
        assert bed.paths(apps[1]) == bed.everywhere("origin")
        assert bed.paths(apps[2], timeout=0.5) == bed.DROPPED
    bed.nft(printed)
    assert installed == bed.daemons_table()
    bed.reset()


def test_a_second_one_refuses_and_names_the_first() -> None:
    with bed.Daemon(bed.config()) as first:
        before = everything()
        second = bed.cgtproxy("-c", str(first.config))
        assert second.returncode == 75
        assert f"pid {first.pid}" in second.stderr
        assert everything() == before
        assert first.running


def test_a_stranger_cannot_keep_it_from_starting() -> None:
    with bed.Program([sys.executable, SQUAT]) as squatter:
        squatter.wait_line("ready")
        with bed.Daemon(bed.config()) as daemon:
            daemon.wait_line("WARNING.*holds our lock")


def test_somebody_elses_route_in_its_table_is_an_error_that_says_so() -> None:
    bed.run("ip", "route", "add", "local", "default", "dev", "lo", "table", "300")
    before = everything()
    daemon = bed.Daemon(bed.config())
    ended = bed.cgtproxy("-c", str(daemon.config))
    assert ended.returncode == 69
    assert "IPv4 route local default dev lo table 300: another program has" in ended.stderr
    assert "choose another `route-table`" in ended.stderr
    assert everything() == before
    bed.reset()


def test_it_needs_no_terminal_and_no_service_manager(cgroup: bed.MakeCgroup) -> None:
    daemon = bed.Daemon(bed.config())
    command = [sys.executable, "-m", "cgtproxy", "-c", str(daemon.config)]
    alone = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        bed.wait_until(lambda: "cgtproxy" in bed.nft_listing("tables"), "the table")
    finally:
        alone.terminate()
    assert alone.wait() == 0
