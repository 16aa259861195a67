"""How connections begin and end, through the built-in server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bed
from bed import transfers, upstreams
from bed.built_in import Start, config, processes, tcp
from bed.transfers import transfer

SOCKS5 = f"socks5://127.0.0.1:{upstreams.PORT}"


@pytest.mark.parametrize("upstream", ["direct://", SOCKS5])
def test_a_crowd(
    start: Start,
    cgroup: bed.MakeCgroup,
    server: transfers.TransferServer,
    tmp_path: Path,
    upstream: str,
) -> None:
    text = config(upstream)
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), start(text):
        plan = [transfer(1000 * number, 100_000, 1000) for number in range(200)]
        assert transfers.run(cgroup("app"), bed.REMOTE4, plan) == ["ok"] * 200


END = str(bed.PROGRAMS / "end_watcher.py")
ENDING = str(bed.PROGRAMS / "ender.py")


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_the_far_ends_end_is_passed_on(start: Start, cgroup: bed.MakeCgroup, how: str) -> None:
    text = config()
    far = bed.Program([*bed.OUTSIDE, sys.executable, ENDING, how])
    with start(text), far:
        far.wait_line("^ready$")
        near = cgroup("app").spawn([sys.executable, END, how], stdout=subprocess.PIPE)
        assert near.communicate(timeout=20)[0].decode().strip() == how


def test_a_refused_connection_is_reset(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config()
    with start(text):
        seen = bed.probe(cgroup("app"), *tcp(9))
        assert {outcome.by for outcome in seen.values()} == {"reset"}


def test_a_connection_that_nobody_answers_times_out(start: Start, cgroup: bed.MakeCgroup) -> None:
    silent = "192.0.2.99"
    bed.run("ip", "route", "add", "blackhole", silent)
    bed.run("ip", "route", "replace", silent, "via", bed.ORIGIN4)
    bed.run(*bed.OUTSIDE, "ip", "route", "add", "blackhole", silent)
    text = config(workers={"connect-timeout": 1, "count": 1})
    try:
        with start(text):
            (outcome,) = bed.probe(cgroup("app"), bed.Flow("tcp", silent, 80), timeout=10).values()
            assert outcome.by == "reset"
    finally:
        bed.run(*bed.OUTSIDE, "ip", "route", "del", "blackhole", silent)
        bed.run("ip", "route", "del", silent)


IDLER = str(bed.PROGRAMS / "idler.py")


def test_an_idle_connection_ends(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config(workers={"idle-timeout": 1, "count": 1})):
        idler = cgroup("app").spawn([sys.executable, IDLER], stdout=subprocess.PIPE)
        assert idler.communicate(timeout=40)[0] == b"reset\n"


def test_a_direct_connection_to_the_port_is_refused(start: Start) -> None:
    with start(config()) as server:
        for host in ("127.0.0.1", bed.HOST4, "::1", bed.HOST6):
            with (
                pytest.raises(ConnectionResetError),
                socket.create_connection((host, 10005), 5) as sock,
            ):
                sock.recv(10)
        server.wait_line("refused, the destination is")


@pytest.mark.parametrize("host", ["127.0.0.1", bed.HOST4])
def test_the_server_and_loopback_are_no_destinations(
    start: Start, cgroup: bed.MakeCgroup, host: str
) -> None:
    text = config(bypass=[])
    with start(text) as server:
        (outcome,) = bed.probe(cgroup("app"), bed.Flow("tcp", host, 10005)).values()
        assert outcome.by == "reset"
        server.wait_line("refused, the destination is")
        bed.probe(cgroup("app-udp"), bed.Flow("udp", host, 10005), timeout=1)


def test_a_killed_worker_ends_only_its_own(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config(workers={"count": 3})
    with start(text) as server:
        app = cgroup("app")
        # So many that each worker has some: of 12, one in 130 times the killed one had none.
        talks = [bed.Conversation(app, bed.Flow("tcp", bed.REMOTE4, 80)).start() for _ in range(30)]
        assert {talk.ask()[0].by for talk in talks} == {"origin"}
        os.kill(processes(server)[0], signal.SIGKILL)
        server.wait_line("ended .SIGKILL., starting another")
        assert {o.by for o in bed.probe(app, *bed.flows()).values()} == {"origin"}
        after = [talk.ask()[0].by for talk in talks]
        assert "origin" in after
        assert after.count("origin") < len(after)
        for talk in talks:
            talk.stop()


def test_a_worker_that_does_not_get_on_keeps_nobody_waiting(
    start: Start, cgroup: bed.MakeCgroup
) -> None:
    # Once in 4,000 times the kernel's hash would lead none of them to the stopped worker.
    flows = [bed.Flow("tcp", f"192.0.2.{number}", 80) for number in range(100, 112)]
    with start(config(workers={"count": 2})) as server:
        app = cgroup("app")
        stopped = processes(server)[0]
        os.kill(stopped, signal.SIGSTOP)

        def all_answered() -> bool:
            return {outcome.by for outcome in bed.probe(app, *flows).values()} == {"origin"}

        bed.wait_until(all_answered, "the other worker to take all")
        os.kill(stopped, signal.SIGCONT)


def test_workers_killed_under_load(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config(workers={"count": 2})
    with start(text) as server:
        with bed.Prober(cgroup("app"), *bed.flows(), interval=0.005) as prober:
            prober.wait_rounds(20)
            for _ in range(3):
                known = len(server.lines)
                os.kill(processes(server)[0], signal.SIGKILL)
                server.wait_line("starting another", since=known)
                prober.wait_rounds(20)
        by = [record.outcome.by for record in prober.records if record.flow.protocol == "tcp"]
        assert by.count("origin") > len(by) * 0.8
        assert set(by) <= {"origin", "reset", "closed"}


def test_a_reload_keeps_connections(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config()) as server:
        app = cgroup("app")
        with bed.Conversation(app, bed.Flow("tcp", bed.REMOTE4, 80)) as talk:
            assert talk.ask()[0].by == "origin"
            server.reload(config("drop://"))
            assert {o.by for o in bed.probe(app, *tcp()).values()} == {"reset"}
            assert talk.ask(3)[2].by == "origin"


def test_no_connection_is_lost_in_reloads(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config()
    with start(text) as server:
        with bed.Prober(cgroup("app"), *tcp(), interval=0.005) as prober:
            for _ in range(5):
                prober.wait_rounds(5)
                server.reload()
            prober.wait_rounds(5)
        assert {record.outcome.by for record in prober.records} == {"origin"}


def test_an_upstream_restarted_under_load(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config(SOCKS5, health_check=1)
    with start(text):
        with bed.Prober(cgroup("app"), *tcp(), interval=0.01) as prober:
            for number in range(3):
                with upstreams.microsocks(cgroup(f"upstream{number}")):
                    bed.wait_until(
                        lambda: prober.wait_rounds()[-1].outcome.by == "origin", "service"
                    )
                prober.wait_rounds(3)
        assert {record.outcome.by for record in prober.records} <= {"origin", "reset", "closed"}


CROWD = str(bed.PROGRAMS / "holder.py")


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ({"connections": 5}, r"accepting no connections for now: 5 connections are open"),
        ({}, r"Too many open files|no socket"),
    ],
    ids=["connections", "descriptors"],
)
def test_limits_are_survived(
    start: Start, cgroup: bed.MakeCgroup, limits: dict[str, int], line: str
) -> None:
    text = config(workers={"count": 1, **limits})
    wrapper = [] if limits else ["prlimit", "--nofile=40:40"]
    with start(text, wrapper=wrapper) as server:
        app = cgroup("app")
        flow = bed.Flow("tcp", bed.REMOTE4, 80)
        with bed.Program([sys.executable, CROWD], cgroup=app):
            server.wait_line(line)
        bed.wait_until(lambda: bed.probe(app, flow)[flow].by == "origin", "service again")


def congestion_control(*which: str) -> Any:
    """Of the TCP sockets of this host that ss(8) selects so."""
    options = ["--tcp", "--numeric", "--no-header", "--info", "state", "established"]
    return re.findall(r"^\s+(?:ts sack )?(\w+)", bed.run("ss", *options, *which), re.MULTILINE)


@pytest.fixture
def chosen() -> Iterator[str]:
    """What an administrator may have chosen for the network."""
    directory = Path("/proc/sys/net/ipv4")
    allowed = (directory / "tcp_allowed_congestion_control").read_text().split()
    (choice, *_) = (name for name in allowed if name != "reno")
    file = directory / "tcp_congestion_control"
    before = file.read_text()
    file.write_text(choice)
    yield choice
    file.write_text(before)


@pytest.mark.parametrize("upstream", ["direct://", "socks5://127.0.0.1:1088"])
def test_only_the_networks_connections_have_the_congestion_control_that_is_chosen_for_it(
    start: Start, cgroup: bed.MakeCgroup, upstream: str, chosen: str
) -> None:
    destination = "192.0.2.88"  # neither this nor the port is of other tests, which leave sockets
    with (
        upstreams.microsocks(cgroup("upstream"), port=1088),
        start(config(upstream)),
        bed.Conversation(cgroup("app"), bed.Flow("tcp", destination, 80)) as talk,
    ):
        assert talk.ask()[0].by == "origin"
        assert congestion_control("src", destination) == ["reno"]  # towards the app
        assert congestion_control("dst", destination) == [chosen, chosen]  # the app's own, too
        to_upstream = congestion_control("dport", "=", ":1088")
        assert set(to_upstream) == (set() if upstream == "direct://" else {"reno"})
