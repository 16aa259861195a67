"""Fail-over between upstreams of any kind: of connections, datagrams and DNS queries."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bed
from bed import dns, upstreams
from bed.built_in import Start, config, tcp
from bed.upstreams import PORT, Upstream

SOCKS5 = f"socks5://127.0.0.1:{PORT}"
MUTE_PORT, WEB_PORT = 1081, 1082
MUTE, WEB = f"socks5://127.0.0.1:{MUTE_PORT}", f"http://127.0.0.1:{WEB_PORT}"
NOBODY = "socks5://127.0.0.1:1"
UDP = [flow for flow in bed.flows() if flow.protocol == "udp"]


@pytest.fixture
def mute(cgroup: bed.MakeCgroup) -> Iterator[Upstream]:
    """A SOCKS5 server that says nothing about any destination, and carries no UDP."""
    argv = [sys.executable, str(bed.PROGRAMS / "mute_socks.py"), str(MUTE_PORT)]
    with Upstream(argv, cgroup("mute"), MUTE_PORT) as server:
        yield server


@pytest.fixture
def web() -> Iterator[None]:
    """An HTTP proxy, for all that a check can see."""
    with socket.create_server(("127.0.0.1", WEB_PORT)):
        yield


def by_whom(app: bed.Cgroup, *flows: bed.Flow, timeout: float = 5) -> set[tuple[str, str]]:
    """Who answered, or why nobody did, and from where it was asked."""
    seen = bed.probe(app, *flows, timeout=timeout)
    return {(one.by, one.peer[0] if one.peer else "") for one in seen.values()}


DIRECTLY = {("origin", bed.HOST4), ("origin", bed.HOST6)}
BY_SING_BOX = {("origin", bed.PROXY4), ("origin", bed.PROXY6)}
NOWHERE = {("timeout", "")}


@pytest.mark.parametrize("udp", ["drop", "direct"])
def test_datagrams_take_the_first_upstream_that_carries_them(
    start: Start, cgroup: bed.MakeCgroup, tmp_path: Path, web: None, udp: str
) -> None:
    text = config([WEB, SOCKS5], udp=udp)
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), start(text):
        assert by_whom(cgroup("app"), *UDP) == BY_SING_BOX


@pytest.mark.parametrize(
    ("upstream", "on_down"), [([NOBODY, "direct://"], "drop"), (NOBODY, "direct")]
)
def test_the_first_datagrams_are_not_lost_when_it_is_direct_in_the_end(
    start: Start, cgroup: bed.MakeCgroup, upstream: str | list[str], on_down: str
) -> None:
    with start(config(upstream, on_down=on_down, health_check=0)):
        assert by_whom(cgroup("app"), *UDP) == DIRECTLY


def test_an_upstream_that_refuses_datagrams_is_not_down(
    start: Start, cgroup: bed.MakeCgroup
) -> None:
    text = config(SOCKS5, workers={"count": 1}, on_down="direct", health_check=3600)
    with upstreams.microsocks(cgroup("upstream")) as server, start(text) as daemon:
        app = cgroup("app")
        for _ in range(2):
            assert by_whom(app, *UDP, timeout=1) == NOWHERE
            daemon.wait_line("carries no UDP: command not supported")
        assert {who for who, _ in by_whom(app, *tcp())} == {"origin"}
        assert server.output.count("connected to") == 2


def test_datagrams_that_an_upstream_refuses_take_the_next_one(
    start: Start, cgroup: bed.MakeCgroup
) -> None:
    with upstreams.microsocks(cgroup("upstream")), start(config([SOCKS5, "direct://"])):
        assert by_whom(cgroup("app"), *UDP) == DIRECTLY


def test_datagrams_that_the_destination_refuses_take_no_other_upstream(
    start: Start, cgroup: bed.MakeCgroup, tmp_path: Path
) -> None:
    text = config([SOCKS5, "direct://"], on_down="direct")
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), start(text) as daemon:
        app = cgroup("app")
        refused = [flow._replace(port=9) for flow in UDP]
        # An ICMP error would come of going there directly; SOCKS5 has none.
        assert by_whom(app, *refused, timeout=1) == NOWHERE
        assert by_whom(app, *UDP) == BY_SING_BOX
        assert "carries no UDP" not in daemon.output


@pytest.mark.parametrize("last", [SOCKS5, "direct://"])
def test_after_silence_comes_the_next_upstream_but_never_direct(
    cgroup: bed.MakeCgroup, tmp_path: Path, unbound: dns.Unbound, mute: Upstream, last: str
) -> None:
    workers, options = {"count": 1, "connect-timeout": 1}, {"upstream": dns.url("tcp")}
    text = config([MUTE, last], health_check=3600, workers=workers, dns=options)
    with (
        upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"),
        bed.Daemon(text, env={"STATE_DIRECTORY": str(tmp_path)}) as daemon,
    ):
        app = cgroup("app")
        answer = dns.dig(app, "real.example", "MX")
        connections, datagrams = by_whom(app, *tcp(), timeout=8), by_whom(app, *UDP, timeout=8)
        if last == SOCKS5:
            assert answer.found == ["10 mail.example."]
            assert connections == datagrams == BY_SING_BOX
            assert unbound.asked("real.example") == [bed.PROXY4]
        else:
            assert answer.status == "SERVFAIL"
            assert (connections, datagrams) == ({("reset", "")}, NOWHERE)
            assert not unbound.asked("real.example")
        daemon.wait_line(f"{MUTE} failed: no answer in time")
        assert "is down" not in daemon.output
