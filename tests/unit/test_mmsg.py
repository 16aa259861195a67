"""recvmmsg and sendmmsg on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgtproxy.proxy.io.mmsg import BATCH, DatagramMover

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    """Two pairs of connected sockets: what one end sends the other gets."""
    first = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (*first, *second):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sock.setblocking(False)
    yield first, second
    for sock in (*first, *second):
        sock.close()


@pytest.fixture(scope="module")
def mover() -> DatagramMover:
    return DatagramMover()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=2000), max_size=9))
def test_datagrams_keep_length_order_and_bytes(
    pairs: tuple[Pair, Pair], mover: DatagramMover, datagrams: list[bytes]
) -> None:
    (sender, source), (sink, receiver) = pairs
    for datagram in datagrams:
        sender.send(datagram)
    assert mover.move(source.fileno(), sink.fileno()) == len(datagrams) < BATCH
    assert [receiver.recv(65536) for _ in datagrams] == datagrams
    with pytest.raises(BlockingIOError):
        receiver.recv(1)


def test_one_that_the_sink_does_not_take_costs_no_other(mover: DatagramMover) -> None:
    source, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with (
        source,
        sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        sink.connect(receiver.getsockname())
        sizes = [10, 65530, 65531, 20, 65530, 30]  # the most that UDP over IPv4 takes is 65507
        for size in sizes:
            sender.send(bytes(size))
        assert mover.move(source.fileno(), sink.fileno()) == len(sizes)
        assert [len(receiver.recv(65536)) for _ in range(3)] == [10, 20, 30]


def test_a_refusal_of_an_earlier_datagram_is_no_end(mover: DatagramMover) -> None:
    source, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with source, sender, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = gone.getsockname()
        sink.connect(address)
        sink.send(b"x")  # is answered by ICMP at once, on loopback
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(address)
            sender.send(b"a")
            sender.send(b"b")
            assert mover.move(source.fileno(), sink.fileno()) == 2
            assert [receiver.recv(10), receiver.recv(10)] == [b"a", b"b"]


def test_an_error_of_the_source_is_told(mover: DatagramMover) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.connect(("127.0.0.1", 9))
        source.send(b"x")
        assert mover.move(source.fileno(), source.fileno()) == -1
        assert mover.move(source.fileno(), source.fileno()) == 0
