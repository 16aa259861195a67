"""Upstreams that are given by name."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack

import pytest

import bed
from bed import upstreams
from bed.built_in import Start, config, tcp
from bed.nameserver import HOSTS, Nameserver

URL = f"socks5://proxy.example:{upstreams.PORT}"
PATIENT = str(bed.PROGRAMS / "patient.py")


def ways(app: bed.Cgroup) -> set[str]:
    return {outcome.by for outcome in bed.probe(app, *tcp()).values()}


def test_the_name_is_looked_up_before_the_first_connection(
    start: Start, cgroup: bed.MakeCgroup, nameserver: Nameserver
) -> None:
    nameserver.tell("proxy.example", "127.0.0.1")
    with (
        upstreams.microsocks(cgroup("upstream")) as upstream,
        start(config(URL, rules={"^/upstream": "direct", ".": "built-in"}, health_check=0)),
    ):
        assert ways(cgroup("app")) == {"origin"}
        assert "connected to" in upstream.output
    assert {"proxy.example A", "proxy.example AAAA"} <= set(nameserver.lines)


def test_a_reload_that_fails_before_the_name_is_looked_up(nameserver: Nameserver) -> None:
    """The first configuration is still to be served."""
    nameserver.process.send_signal(signal.SIGSTOP)
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as stack:
        server = bed.Daemon(config(URL), program=(PATIENT, "proxy"))
        stack.push(bed.Program.start(server))  # it is not ready yet
        asked = ["ss", "-Hlun", "src 127.0.0.5:53"]
        bed.wait_until(lambda: int(bed.run(*asked).split()[1]), "a query in the queue")
        dns = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        server.write_config(config("direct://", dns=dns))
        server.process.send_signal(signal.SIGHUP)
        server.wait_line("not reloaded, .*: Address already in use")
        nameserver.process.send_signal(signal.SIGCONT)
        server.wait_line(f"workers serve built-in on port 10005 to {URL}")
        server.wait_notified("READY=1")


def test_a_name_in_the_hosts_file(
    start: Start, cgroup: bed.MakeCgroup, nameserver: Nameserver
) -> None:
    before = HOSTS.read_text()
    HOSTS.write_text(f"{before}\n127.0.0.1 proxy.example\n")
    try:
        with upstreams.microsocks(cgroup("upstream")), start(config(URL)):
            assert ways(cgroup("app")) == {"origin"}
    finally:
        HOSTS.write_text(before)
    assert "proxy.example A" not in nameserver.lines


def test_a_name_that_is_found_later_and_moves(
    start: Start, cgroup: bed.MakeCgroup, nameserver: Nameserver
) -> None:
    with (
        upstreams.microsocks(cgroup("upstream")),
        start(config(URL, health_check=1)) as server,
    ):
        server.wait_line("proxy.example:1080 is down: the name proxy.example is not found")
        assert ways(cgroup("app")) == {"reset"}
        nameserver.tell("proxy.example", "127.0.0.9")
        server.wait_line("proxy.example:1080 has other addresses now", timeout=30)
        server.wait_line("proxy.example:1080 is down: Connection refused")  # nobody is there
        known = len(server.lines)
        nameserver.tell("proxy.example", "127.0.0.1")
        server.wait_line("proxy.example:1080 has other addresses now", since=known, timeout=30)
        later = cgroup("app/later")
        bed.wait_until(lambda: ways(later) == {"origin"}, "the way through it")


@pytest.mark.parametrize("interval", [0, 1])
def test_another_address_counts_only_when_the_old_one_fails(
    start: Start, cgroup: bed.MakeCgroup, nameserver: Nameserver, interval: int
) -> None:
    """A name that tells another one each time must not bring new workers each time."""
    nameserver.tell("proxy.example", "127.0.0.1")
    with (
        upstreams.microsocks(cgroup("upstream")) as upstream,
        start(config(URL, health_check=interval)) as server,
    ):
        nameserver.tell("proxy.example", "127.0.0.9")
        for _ in range(2):  # when it is asked again, what it said before has been heard
            known = len(nameserver.lines)
            nameserver.wait_line("^proxy.example AAAA$", since=known, timeout=30)
        assert "has other addresses now" not in server.output
        app = cgroup("app")
        assert ways(app) == {"origin"}
        upstream.stop()
        assert ways(app) == {"reset"}
        server.wait_line("proxy.example:1080 has other addresses now", timeout=30)


def test_the_next_address_where_one_does_not_answer(
    start: Start, cgroup: bed.MakeCgroup, nameserver: Nameserver, silent: str
) -> None:
    nameserver.tell("proxy.example", silent, "127.0.0.1")
    with upstreams.microsocks(cgroup("upstream")), start(config(URL)):
        app = cgroup("app")
        seen = bed.probe(app, *tcp(), timeout=10)
        assert {outcome.by for outcome in seen.values()} == {"origin"}
