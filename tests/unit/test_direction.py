"""One direction of a connection: when it splices, and when it copies."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cgtproxy.config.model import Workers
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.worker.tcp.direction import COPY, Direction
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.tcp.state import State

MUCH = b"x" * (64 * COPY)


class Pair:
    """A connection through the relay: what `near` sends comes out at `far`."""

    def __init__(self, relays: Relays) -> None:
        self.near, inner = connected()
        outer, self.far = connected()
        self.up: Direction = relays.join(inner, outer)
        for direction in (self.up, self.up.twin):
            relays.reactor.register(direction.fd, direction.on_event)

    def close(self) -> None:
        self.up.abort()
        self.near.close()
        self.far.close()


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return client, server


@pytest.fixture
def relays() -> Iterator[Relays]:
    before = signal.set_wakeup_fd(-1)
    yield Relays(Reactor(), Workers())
    signal.set_wakeup_fd(before)


@pytest.fixture
def pair(relays: Relays) -> Iterator[Pair]:
    made = Pair(relays)
    yield made
    made.close()


def turn(relays: Relays) -> None:
    """One round of the loop."""
    relays.reactor.soon(relays.reactor.stop)
    relays.reactor.run()


def moved(relays: Relays, pair: Pair, data: bytes) -> list[State]:
    """Send `data` through the relay: the states that its direction was in meanwhile."""
    states, unsent, missing = [], memoryview(data), len(data)
    pair.near.setblocking(False)
    while missing:
        with suppress(BlockingIOError):
            unsent = unsent[pair.near.send(unsent) :] if unsent else unsent
        turn(relays)
        states.append(pair.up.state)
        with suppress(BlockingIOError):
            missing -= len(pair.far.recv(missing, socket.MSG_DONTWAIT))
    return states


def test_much_at_once_is_spliced_and_little_is_copied(relays: Relays, pair: Pair) -> None:
    assert State.SPLICING in moved(relays, pair, MUCH)
    assert moved(relays, pair, b"x")[-1] is State.COPYING
    assert State.SPLICING in moved(relays, pair, MUCH)


def test_a_sink_that_takes_no_more_blocks_the_source_until_it_does(
    relays: Relays, pair: Pair
) -> None:
    pair.near.setblocking(False)
    sent = 0
    while pair.up.state is not State.BLOCKED:
        with suppress(BlockingIOError):
            sent += pair.near.send(MUCH)
        turn(relays)
    received = 0
    while received < sent:
        with suppress(BlockingIOError):
            received += len(pair.far.recv(len(MUCH), socket.MSG_DONTWAIT))
        turn(relays)
    assert pair.up.state is not State.BLOCKED
