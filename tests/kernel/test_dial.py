"""Upstreams that do not get as far as a relay, or an association."""

from __future__ import annotations

import sys
from pathlib import Path
from socket import AF_INET
from typing import Any

import pytest

import bed
from bed import dns
from bed.built_in import Start, config, tcp
from bed.nameserver import Nameserver
from bed.upstreams import PORT, Upstream
from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.upstreams.dialer import Dialer

MUTE = str(bed.PROGRAMS / "mute_socks.py")


def test_it_ends_once_even_if_its_time_is_up_while_it_gives_up() -> None:
    reactor = Reactor()
    ends: list[object] = []
    dialer = Dialer(reactor, Deadlines(reactor, 10), 1, {})
    # connect(2) fails at once
    dial = dialer.dial_directly([SocketAddress(AF_INET, ("255.255.255.255", 9))], ends.append)
    dial.expire()
    reactor.soon(lambda: reactor.soon(lambda: reactor.soon(reactor.stop)))
    reactor.run()
    assert ends == [dial]


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_no_answer_about_one_destination_makes_nothing_direct(
    cgroup: bed.MakeCgroup, tmp_path: Path, scheme: str
) -> None:
    """Else any destination could make itself, and others, be connected to directly."""
    url = f"{scheme}://127.0.0.1:{PORT}"
    keys: dict[str, Any] = {
        "on-down": "direct",
        "health-check": 3600,
        "dns": {"upstream": "tcp://192.0.2.1"},
    }
    text = config(url, workers={"count": 1, "connect-timeout": 1}, **keys)
    mute = [sys.executable, MUTE, str(PORT)]
    state = {"STATE_DIRECTORY": str(tmp_path)}
    with Upstream(mute, cgroup("upstream")), bed.Daemon(text, env=state) as server:
        app = cgroup("app")
        assert dns.dig(app, "www.example", "TXT").status == "SERVFAIL"
        for _ in range(2):
            seen = bed.probe(app, *tcp(), timeout=10)
            assert {outcome.by for outcome in seen.values()} == {"reset"}
        server.wait_line(f"{url} failed: no answer in time")
        assert "is down" not in server.output


def test_datagrams_that_an_upstream_does_not_carry_make_nothing_direct(
    start: Start, cgroup: bed.MakeCgroup
) -> None:
    keys: dict[str, Any] = {"on-down": "direct", "health-check": 3600}
    text = config(f"socks5://127.0.0.1:{PORT}", workers={"count": 1, "connect-timeout": 1}, **keys)
    mute = [sys.executable, MUTE, str(PORT)]
    with Upstream(mute, cgroup("upstream")), start(text) as server:
        app = cgroup("app")
        for _ in range(2):
            seen = bed.probe(app, *bed.flows(), timeout=5)
            assert {(flow.protocol, outcome.by) for flow, outcome in seen.items()} == {
                ("tcp", "reset"),
                ("udp", "timeout"),
            }
            server.wait_line("carries no UDP: it closed the connection")


NAMING = str(bed.PROGRAMS / "naming_socks.py")


def test_no_worker_looks_a_name_up_that_an_upstream_has_for_itself(
    start: Start, cgroup: bed.MakeCgroup, nameserver: Nameserver
) -> None:
    naming = [sys.executable, NAMING, str(PORT)]
    text = config(f"socks5://127.0.0.1:{PORT}", workers={"count": 1}, health_check=0)
    with Upstream(naming, cgroup("upstream")), start(text) as server:
        flow = next(flow for flow in bed.flows() if flow.protocol == "udp")
        assert bed.probe(cgroup("app"), flow, timeout=1)[flow].by == "timeout"
        server.wait_line("a datagram was lost, there is no socket")
    assert "proxy.example" not in nameserver.output
