"""HTTP CONNECT, however the answer is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.proxy.protocols.handshake import (
    DeniedError,
    HandshakeError,
    HostPort,
    RefusedError,
    UnusableError,
)
from cgtproxy.proxy.protocols.http import MAX_HEAD, HttpConnect

CUTS = st.lists(st.integers(0, 1000), max_size=8)


def feed(machine: HttpConnect, data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        assert machine.receive(data[start:end]) == b""


def test_the_request() -> None:
    sent = HttpConnect(HostPort("::1", 443), "ü", "p:w").start()
    assert sent == (
        b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"
        b"Proxy-Authorization: Basic w7w6cDp3\r\n\r\n"
    )
    assert b"Authorization" not in HttpConnect(HostPort("h", 1)).start()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200\r\nVia: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\na: b\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
    ],
)
@given(rest=st.binary(max_size=20), cuts=CUTS)
def test_accepted(head: bytes, rest: bytes, cuts: list[int]) -> None:
    machine = HttpConnect(HostPort("h", 1))
    feed(machine, head + rest, cuts)
    assert (machine.done, machine.rest) == (True, rest)


@pytest.mark.parametrize(
    ("codes", "refusal"),
    [
        ([500, 502, 503, 504, 599], RefusedError),  # the destination does
        ([300, 400, 403, 404, 405, 499, 501, 505], DeniedError),  # the proxy does
    ],
)
def test_who_refuses(codes: list[int], refusal: type[Exception]) -> None:
    for code in codes:
        with pytest.raises(refusal, match=str(code)):
            feed(HttpConnect(HostPort("h", 1)), b"HTTP/1.1 %d No\r\n\r\n" % code, [])


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 407 Who are you\r\n\r\n",
        b"SSH-2.0-x",
        b"\x05\x00",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD,
    ],
)
@given(cuts=CUTS)
def test_no_proxy_for_us(data: bytes, cuts: list[int]) -> None:
    with pytest.raises(UnusableError):
        feed(HttpConnect(HostPort("h", 1)), data, cuts)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda b: b"HTTP/1.1 " + b), CUTS)
def test_any_bytes_are_an_answer_or_an_error(data: bytes, cuts: list[int]) -> None:
    machine = HttpConnect(HostPort("h", 1))
    try:
        feed(machine, data, cuts)
    except HandshakeError:
        return
    assert machine.done or len(machine.rest) < MAX_HEAD


def test_it_begins_anew_with_another_connection() -> None:
    machine = HttpConnect(HostPort("h", 1))
    assert not machine.asked
    for _ in range(2):
        assert machine.start().startswith(b"CONNECT h:1 ")
        assert machine.asked
        machine.receive(b"HTTP/")
        assert not machine.asked
