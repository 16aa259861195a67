"""SOCKS5 against the RFCs' messages, however they are cut."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from socket import AF_INET6, inet_ntop

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
from cgtproxy.proxy.protocols.socks5 import (
    ASSOCIATE,
    Socks5,
    decode,
    encode,
    parse_datagram,
    udp_header,
)

ADDRESSES = st.ip_addresses(v=4).map(str) | st.binary(min_size=16, max_size=16).map(
    partial(inet_ntop, AF_INET6)
)
HOSTS = ADDRESSES | st.from_regex(r"[a-z][a-z0-9.-]{0,254}", fullmatch=True)
ENDPOINTS = st.builds(HostPort, HOSTS, st.integers(0, 65535))
OK4 = bytes((5, 0, 0, 1, 127, 0, 0, 1, 0, 80))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def converse(machine: Socks5, answers: bytes, cuts: list[int]) -> bytes:
    return machine.start() + b"".join(machine.receive(p) for p in pieces(answers, cuts))


CUTS = st.lists(st.integers(0, 1000), max_size=8)


@given(ENDPOINTS, st.binary(max_size=9), CUTS)
def test_connect_without_a_user(endpoint: HostPort, rest: bytes, cuts: list[int]) -> None:
    machine = Socks5(endpoint)
    sent = converse(machine, b"\x05\x00" + OK4 + rest, cuts)
    assert sent == b"\x05\x01\x00" + b"\x05\x01\x00" + encode(endpoint)
    assert (machine.done, machine.rest, machine.bound) == (True, rest, HostPort("127.0.0.1", 80))


@given(CUTS, st.sampled_from([1, 5]))
def test_user_and_password(cuts: list[int], version: int) -> None:
    machine = Socks5(HostPort("h", 1), "üser", "p")
    sent = converse(machine, bytes((5, 2, version, 0)) + OK4, cuts)
    login = b"\x01\x05\xc3\xbcser\x01p"
    assert sent == b"\x05\x02\x00\x02" + login + b"\x05\x01\x00\x03\x01h\x00\x01"
    assert machine.done


def test_a_server_that_wants_no_password_gets_none() -> None:
    machine = Socks5(HostPort("::1", 1), "user", "secret")
    assert b"secret" not in converse(machine, b"\x05\x00" + OK4, [])
    assert machine.done


def test_associate() -> None:
    machine = Socks5(HostPort("0.0.0.0", 0), command=ASSOCIATE)
    sent = converse(machine, bytes((5, 0, 5, 0, 0, 4, *range(16), 1, 2)), [])
    assert sent == bytes((5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0))
    assert machine.bound == HostPort("1:203:405:607:809:a0b:c0d:e0f", 258)


def test_a_check_ends_with_the_login() -> None:
    machine = Socks5(None, "u", "p")
    assert converse(machine, b"\x05\x02\x01\x00", [3]) == b"\x05\x02\x00\x02\x01\x01u\x01p"
    assert machine.done


def test_it_goes_on_where_a_check_has_ended() -> None:
    machine = Socks5(HostPort("h", 1), "u", "p")
    assert machine.resume() == b"\x05\x01\x00\x03\x01h\x00\x01"
    assert machine.asked
    assert machine.receive(OK4 + b"rest") == b""
    assert (machine.done, machine.rest) == (True, b"rest")


@pytest.mark.parametrize(
    "answers",
    [b"HTTP", b"\x04\x00", b"\x05\xff", b"\x05\x02", b"\x05\x00\x04\x00"],
)
def test_no_server_for_us(answers: bytes) -> None:
    with pytest.raises(UnusableError):
        converse(Socks5(HostPort("h", 1)), answers, [])


def test_a_wrong_password() -> None:
    with pytest.raises(UnusableError, match="password"):
        converse(Socks5(HostPort("h", 1), "u", "p"), b"\x05\x02\x01\x01", [])


@pytest.mark.parametrize(
    ("replies", "refusal"),
    [
        ([1, 3, 4, 5, 6, 9, 255], RefusedError),  # the destination does, as far as that is known
        ([2, 7, 8], DeniedError),  # the server does
    ],
)
def test_who_refuses(replies: list[int], refusal: type[Exception]) -> None:
    for reply in replies:
        with pytest.raises(refusal):
            converse(Socks5(HostPort("h", 1)), bytes((5, 0, 5, reply)), [])


@given(st.integers(1, 255))
def test_an_association_is_refused_by_the_server_alone(reply: int) -> None:
    with pytest.raises(DeniedError):
        converse(Socks5(HostPort("0.0.0.0", 0), command=ASSOCIATE), bytes((5, 0, 5, reply)), [])


@given(st.binary(max_size=600), CUTS, st.booleans())
def test_any_bytes_are_an_answer_or_an_error(data: bytes, cuts: list[int], user: bool) -> None:
    machine = Socks5(HostPort("h", 1), "u" if user else "", "p")
    try:
        converse(machine, data, cuts)
    except HandshakeError:
        return
    assert machine.done or len(machine.rest) < 3 + 1 + 1 + 255 + 2


@given(ENDPOINTS, st.binary(max_size=50))
def test_datagrams(endpoint: HostPort, payload: bytes) -> None:
    datagram = udp_header(endpoint) + payload
    parsed = parse_datagram(memoryview(datagram))
    assert parsed
    assert (parsed[0], datagram[parsed[1] :]) == (endpoint, payload)
    assert parse_datagram(b"\0\0\1" + datagram[3:]) is None


@given(st.binary(max_size=300))
def test_any_datagram_is_parsed_or_ignored(data: bytes) -> None:
    parsed = parse_datagram(data)
    assert parsed is None or parsed[1] <= len(data)


@given(ENDPOINTS, st.integers(0, 300))
def test_part_of_an_endpoint_is_none(endpoint: HostPort, length: int) -> None:
    whole = encode(endpoint)
    assert decode(whole[: min(length, len(whole) - 1)]) is None


def test_it_begins_anew_with_another_connection() -> None:
    machine = Socks5(HostPort("a.test", 80))
    for _ in range(2):
        assert machine.start() == b"\x05\x01\x00"
        assert not machine.asked
        assert machine.receive(b"\x05\x00") == b"\x05\x01\x00" + encode(HostPort("a.test", 80))
        assert machine.asked
        machine.receive(b"\x05")
        assert not machine.asked
