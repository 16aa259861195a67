"""One direction of a connection: when it splices, and when that lets others have the CPU."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from cgtproxy.config.model import Workers
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.worker.tcp.direction import COPY, Direction
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.tcp.state import State

MUCH = b"x" * (3 * COPY)


class Pair:
    """A connection through the relay: what `near` sends comes out at `far`."""

    def __init__(self, relays: Relays) -> None:
        self.near, inner = connected()
        outer, self.far = connected()
        self.up: Direction = relays.join(inner, outer)
        for direction in (self.up, self.up.twin):
            relays.reactor.register(direction.fd, direction.on_event)

    def send(self, data: bytes) -> None:
        self.near.sendall(data)

    def received(self, count: int) -> bytes:
        return self.far.recv(count, socket.MSG_WAITALL)

    def close(self) -> None:
        self.up.abort()
        self.near.close()
        self.far.close()


def connected() -> tuple[socket.socket, socket.socket]:
    """The first may be sent MUCH at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(MUCH))
    return client, server


@pytest.fixture
def relays() -> Iterator[Relays]:
    before = signal.set_wakeup_fd(-1)
    yield Relays(Reactor(), Workers())
    signal.set_wakeup_fd(before)


@pytest.fixture
def pairs(relays: Relays) -> Iterator[list[Pair]]:
    made = [Pair(relays) for _ in range(2)]
    yield made
    for pair in made:
        pair.close()


def splices(pair: Pair) -> bool:
    return pair.up.state is State.SPLICING


def turn(relays: Relays) -> None:
    """One round of the loop."""
    relays.reactor.soon(relays.reactor.stop)
    relays.reactor.run()


def move(relays: Relays, pair: Pair, data: bytes) -> None:
    pair.send(data)
    turn(relays)
    assert pair.received(len(data)) == data
    turn(relays)  # where there may be more


def test_a_few_small_pieces_do_not_end_a_bulk_transfer(relays: Relays, pairs: list[Pair]) -> None:
    pair = pairs[0]
    move(relays, pair, MUCH)
    assert splices(pair)
    for _ in range(2):
        for _ in range(6):  # that the source was found empty after MUCH counts, too
            move(relays, pair, b"x")
            assert splices(pair)
        move(relays, pair, MUCH)
    for _ in range(8):
        move(relays, pair, b"x")
    assert not splices(pair)
    move(relays, pair, b"x")
    assert not splices(pair)


@pytest.mark.parametrize("count", [1, 2])
def test_several_bulk_transfers_let_others_have_the_cpu(
    relays: Relays, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    told = []
    monkeypatch.setattr(os, "sched_yield", lambda: told.append("x"))
    for _ in range(3):
        for pair in pairs[:count]:
            move(relays, pair, MUCH)
    assert bool(told) == (count > 1)
