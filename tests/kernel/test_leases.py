"""A name keeps its fake-ip address as long as a connection or a UDP session has to do with it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from select import select
from typing import Any

import pytest

import bed
from cgtproxy.config.model import FakePool, Server, Upstream, Workers
from cgtproxy.config.schemes import DIRECT
from cgtproxy.proxy.fakeip import names as fake_names
from cgtproxy.proxy.fakeip.destinations import Destinations
from cgtproxy.proxy.fakeip.names import FakeNames, Leases
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import IN_USE, SlotTable
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.io.sockets import Socket, accept
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.names.stub import Stub
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.selection import Health, UpstreamSelector
from cgtproxy.proxy.worker.gate import Gate
from cgtproxy.proxy.worker.tcp.connect import UpstreamConnector
from cgtproxy.proxy.worker.tcp.direct import Direct
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.udp.direct import DirectSession
from cgtproxy.proxy.worker.udp.flows import DestinationPolicy
from cgtproxy.proxy.worker.udp.sessions import SWEEPS, Sessions

SLOT, NAME = 7, "host.example"
HOST = "198.18.0.7"


class World:
    """The parts of a worker, whose resolver knows one name: this host's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reactor = Reactor()
        self.table = SlotTable(Ranges(FakePool()), clock=lambda: self.now)
        self.table.set(SLOT, NAME)
        self.table.touch(SLOT)
        self.throttle = Throttle()
        limits = Workers()
        stub = Stub(self.reactor, list, limits.mark, lambda name: {NAME: [bed.HOST4]}.get(name, []))
        names = FakeNames([self.table])
        self.destinations = Destinations(names, Leases(self.reactor), stub, self.throttle)
        self.relays = Relays(self.reactor, limits)
        self.sessions = Sessions(self.reactor, limits, self.throttle)
        deadlines = Deadlines(self.reactor, 10)
        direct = Direct(self.relays, deadlines, limits.mark, self.throttle)
        selector = UpstreamSelector(Server((Upstream(DIRECT),)), Health([]))
        dialer = Dialer(self.reactor, deadlines, limits.mark, {})
        self.connector = UpstreamConnector(
            selector, dialer, direct, self.destinations, self.relays, self.throttle
        )

    def run_until(self, condition: Callable[[], object]) -> None:
        """Fails by the time-out of the whole test if that never happens."""

        def check() -> None:
            if condition():
                self.reactor.stop()
            else:
                self.reactor.after(0.01, check)

        check()
        self.reactor.run()

    def sleep(self) -> None:
        """A long time, as it seems, in which the leases' timer has gone off."""
        self.now += IN_USE * 2
        gone: list[bool] = []
        self.reactor.after(3 * fake_names.PERIOD, lambda: gone.append(True))
        self.run_until(lambda: gone)

    @property
    def in_use(self) -> Any:
        return self.table.in_use(SLOT)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(fake_names, "PERIOD", 0.02)
    return World()


def tcp_pair() -> tuple[socket.socket, Socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, accept(listener, socket.AF_INET)


def test_a_connection(world: World) -> None:
    with socket.create_server((bed.HOST4, 0)) as server:
        near, client = tcp_pair()
        world.connector.open(client, socket.AF_INET, (HOST, server.getsockname()[1]))
        world.run_until(lambda: world.relays.open)
        world.sleep()
        assert world.in_use
        far, _ = server.accept()
        far.close()
        near.close()
        world.run_until(lambda: not world.relays.open)
        assert world.in_use
        assert not world.relays.on_close
        world.sleep()
        assert not world.in_use


def test_a_connection_that_is_refused(world: World) -> None:
    with socket.create_server((bed.HOST4, 0)) as server:
        port = server.getsockname()[1]
    near, client = tcp_pair()
    world.connector.open(client, socket.AF_INET, (HOST, port))
    world.run_until(lambda: select([near], [], [], 0)[0])
    with pytest.raises(ConnectionResetError):
        near.recv(1)
    world.sleep()
    assert not world.in_use
    near.close()


def test_a_session(world: World) -> None:
    gate = Gate(1, world.throttle)
    session = DirectSession(
        world.sessions,
        DestinationPolicy(gate, world.destinations),
        socket.AF_INET,
        ("127.0.0.1", 40000),
    )
    sockaddr = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 9999)
    session.forward(sockaddr + socket.inet_aton(HOST) + bytes(8), memoryview(b"x"))
    world.sleep()
    assert world.in_use
    for _ in range(SWEEPS):
        session.sweep()
    world.sleep()
    assert world.in_use
    session.sweep()
    world.sleep()
    assert not world.in_use
    assert not world.sessions.count
    session.close()
