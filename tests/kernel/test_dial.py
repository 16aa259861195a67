"""Upstreams that do not get as far as a relay, or an association."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET
from typing import Any

import pytest

import bed
from bed import dns
from bed.built_in import Start, config, tcp
from bed.nameserver import Nameserver
from bed.upstreams import PORT
from bed.upstreams import Upstream as UpstreamServer
from cgtproxy.config.model import Server, Upstream
from cgtproxy.config.schemes import SOCKS5
from cgtproxy.proxy.dns.dial import DialError, DirectRoute, ProxyRoute
from cgtproxy.proxy.io.addresses import SocketAddress, numeric_addresses
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.handshake import NoHandshake
from cgtproxy.proxy.upstreams.connection import Connected, Destination, Environment
from cgtproxy.proxy.upstreams.dial import Dial
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.failover import Failed, Outcome
from cgtproxy.proxy.upstreams.selection import Health, UpstreamSelector

MUTE = str(bed.PROGRAMS / "mute_socks.py")


def turn(reactor: Reactor) -> None:
    """What has been put off happens, and what that puts off."""
    reactor.soon(lambda: reactor.soon(lambda: reactor.soon(reactor.stop)))
    reactor.run()


def test_it_ends_once_even_if_its_time_is_up_while_it_gives_up() -> None:
    reactor = Reactor()
    ends: list[Connected | Failed] = []
    # connect(2) fails at once
    destination = Destination([SocketAddress(AF_INET, ("255.255.255.255", 9))])
    environment = Environment(reactor, Deadlines(reactor, 10), 1)
    dial = Dial(environment, destination, NoHandshake(), ends.append)
    dial.start()
    dial.expire()
    assert not ends  # it never calls back at once
    turn(reactor)
    assert ends == [Failed(Outcome.UNREACHABLE, "Network is unreachable")]


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process cannot open another file or socket."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_without_a_descriptor_nothing_is_learned_about_the_upstream() -> None:
    reactor = Reactor()
    ends: list[Connected | Failed] = []
    upstream = Upstream(SOCKS5, "127.0.0.1", PORT)
    targets = {upstream: numeric_addresses(["127.0.0.1", "::1"], PORT)}
    dialer = Dialer(reactor, Deadlines(reactor, 10), 1, targets)
    with no_descriptors():
        dialer.associate(upstream, ends.append)
        turn(reactor)
    assert ends == [Failed(Outcome.OUT_OF_DESCRIPTORS, "Too many open files")]


def test_without_a_descriptor_no_query_goes_to_another_upstream_or_directly() -> None:
    async def main() -> None:
        upstreams = tuple(Upstream(SOCKS5, "127.0.0.1", port) for port in (PORT, PORT + 1))
        targets = {one: numeric_addresses([one.host], one.port) for one in upstreams}
        health = Health(upstreams)
        selector = UpstreamSelector(Server(upstreams, on_down="direct"), health)
        direct = DirectRoute(1, lambda _: pytest.fail("it looks where to go directly"))
        route = ProxyRoute(selector, targets, 1, direct, Throttle())
        with no_descriptors(), pytest.raises(DialError, match="Too many open files"):
            await route.open("192.0.2.53", 53)
        assert all(map(health.is_up, upstreams))

    asyncio.run(main())


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
    with UpstreamServer(mute, cgroup("upstream")), bed.Daemon(text, env=state) as server:
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
    with UpstreamServer(mute, cgroup("upstream")), start(text) as server:
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
    with UpstreamServer(naming, cgroup("upstream")), start(text) as server:
        flow = next(flow for flow in bed.flows() if flow.protocol == "udp")
        assert bed.probe(cgroup("app"), flow, timeout=1)[flow].by == "timeout"
        server.wait_line("a datagram was lost, no socket can be opened")
    assert "proxy.example" not in nameserver.output
