"""Answering datagrams in batches, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgtproxy.proxy.dns.batches import SIZE, Batches
from cgtproxy.proxy.io.mmsg import BATCH

FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
CLIENTS = 9


@pytest.fixture(scope="module")
def batches() -> Batches:
    return Batches()


@pytest.fixture(params=FAMILIES)
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A server's socket, and its clients'."""
    with ExitStack() as stack:
        server, *clients = (
            stack.enter_context(socket.socket(request.param, socket.SOCK_DGRAM))
            for _ in range(1 + CLIENTS)
        )
        server.bind((FAMILIES[request.param], 0))
        for client in clients:
            client.connect(server.getsockname())
            client.setblocking(False)
        yield server, clients


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=SIZE),
            st.binary(max_size=SIZE),
            st.sampled_from(("now", "later", "")),
        ),
        max_size=CLIENTS,
    )
)
def test_each_client_gets_its_own_answer_or_none(
    ends: tuple[socket.socket, list[socket.socket]],
    batches: Batches,
    exchanges: list[tuple[bytes, bytes, str]],
) -> None:
    server, clients = ends
    fd = server.fileno()
    for client, (query, _, _) in zip(clients, exchanges, strict=False):
        client.send(query)
    sizes = batches.receive(fd)
    first, later = 0, []
    queries = [bytes(batches.view[n * SIZE :][:size]) for n, size in enumerate(sizes)]
    assert queries == [query for query, _, _ in exchanges]
    for number, (_, answer, when) in enumerate(exchanges):
        if when == "now":
            batches.put(number, answer)
            continue
        batches.send(fd, first, number)
        first = number + 1
        if when == "later":
            later.append((batches.envelope(number), answer))
            assert later[-1][0].host == FAMILIES[server.family]
    batches.send(fd, first, len(sizes))
    for envelope, answer in later:
        batches.send_later(fd, envelope, answer)
    for client, (_, answer, when) in zip(clients, exchanges, strict=False):
        if when:
            assert client.recv(2 * SIZE) == answer
        with pytest.raises(BlockingIOError):
            client.recv(1)
    assert batches.receive(fd) == []


def test_more_than_a_batch(ends: tuple[socket.socket, list[socket.socket]]) -> None:
    (server, (client, *_)), batches = ends, Batches()
    for number in range(BATCH + 3):
        client.send(bytes(number))
    assert batches.receive(server.fileno()) == list(range(BATCH))
    assert batches.receive(server.fileno()) == list(range(BATCH, BATCH + 3))


def test_one_that_cannot_be_answered_costs_no_other(
    ends: tuple[socket.socket, list[socket.socket]], batches: Batches
) -> None:
    server, clients = ends
    for client in clients[:3]:
        client.send(b"?")
    batches.receive(server.fileno())
    for number in range(3):
        batches.put(number, b"!")
    batches._messages.names[28:56] = bytes(28)  # the second client's: an address of no family
    batches.send(server.fileno(), 0, 3)
    assert [clients[n].recv(9) for n in (0, 2)] == [b"!", b"!"]
