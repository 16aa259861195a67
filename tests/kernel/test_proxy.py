"""The built-in TPROXY server, under the daemon's own rules."""

from __future__ import annotations

import os
import signal

import pytest

import bed
from bed.built_in import PORT, Start, config, processes, tcp


def test_direct_keeps_the_original_destination(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config()
    with start(text):
        for flow, outcome in bed.probe(cgroup("app"), *tcp(443)).items():
            assert (outcome.by, outcome.local) == ("origin", (flow.host, 443))


def test_a_catch_all_does_not_send_the_server_to_itself(
    start: Start, cgroup: bed.MakeCgroup
) -> None:
    text = config(rules={".": "built-in"})
    with start(text) as server:
        seen = bed.probe(cgroup("app"), *tcp())
        assert {outcome.by for outcome in seen.values()} == {"origin"}
        assert "refused" not in server.output


def test_udp_directly(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config()
    with start(text) as server:
        for flow, outcome in bed.probe(cgroup("app"), *bed.flows(443)).items():
            assert (flow, outcome.by, outcome.local) == (flow, "origin", (flow.host, 443))
        app = cgroup("talk")
        for flow in bed.flows():
            with bed.Conversation(app, flow) as talk:
                answers = [outcome for _ in range(10) for outcome in talk.ask(5)]
                assert {outcome.by for outcome in answers} == {"origin"}
                assert len({outcome.peer for outcome in answers}) == 1
        assert "WARNING" not in server.output


def test_supervised_by_the_daemon(cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(config()) as daemon:
        app = cgroup("app")
        assert bed.paths(app) == bed.everywhere("origin")
        daemon.wait_line("workers serve built-in on port 10005 to direct://")
        daemon.reload(config("drop://"))
        assert bed.paths(app, timeout=1) == {
            **dict.fromkeys(("tcp4", "tcp6"), "reset"),
            **dict.fromkeys(("udp4", "udp6"), "timeout"),
        }
        known = len(daemon.lines)
        tproxies = {"built-in": {"port": PORT, "mark": 3005}}
        daemon.reload(bed.config({"^/app": "built-in"}, tproxies=tproxies))
        assert bed.paths(app, timeout=1)["tcp4"] == "refused"
        daemon.reload(config())
        daemon.wait_line("workers serve", since=known)
        assert bed.paths(app) == bed.everywhere("origin")


@pytest.mark.parametrize("most", [None, 1])
def test_a_worker_for_each_core_that_it_may_use(start: Start, most: int | None) -> None:
    cores = sorted(os.sched_getaffinity(0))[:most]
    wrapper = ("taskset", "--cpu-list", ",".join(map(str, cores)))
    with start(config(workers={}), wrapper=wrapper) as server:
        assert len(processes(server)) == len(cores)


def test_a_killed_server_is_started_again(cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(config()) as daemon:
        app = cgroup("app")
        (server,) = processes(daemon)
        os.kill(server, signal.SIGKILL)
        daemon.wait_line("the built-in server ended")
        known = len(daemon.lines)
        daemon.wait_line("workers serve", since=known - 3)
        bed.wait_until(lambda: bed.paths(app) == bed.everywhere("origin"), "service again")


def test_a_killed_daemon_takes_its_server_along(cgroup: bed.MakeCgroup) -> None:
    home, app = cgroup("daemon"), cgroup("app")
    with bed.Daemon(config(), cgroup=home) as daemon:
        (server,) = processes(daemon)
        daemon.kill()
        members = home.directory / "cgroup.procs"
        bed.wait_until(lambda: not members.read_text(), "the server's end")
        daemon.start()
        assert processes(daemon) != [server]
        assert bed.paths(app) == bed.everywhere("origin")


def test_alone_it_outlives_who_started_it(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config(), wrapper=("setsid", "--fork"), cgroup=cgroup("server")) as server:
        assert server.process.wait() == 0
        assert bed.paths(cgroup("app")) == bed.everywhere("origin")
