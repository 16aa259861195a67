"""A stub resolver's side of DNS, with answers that dnspython writes."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.proxy.protocols.dns import (
    AAAA,
    NXDOMAIN,
    A,
    Addresses,
    MalformedError,
    build_query,
    parse_addresses,
)

NAME = "www.example.com"
QUERY = build_query(7, NAME, A)
CHAIN = (
    ("www.example.com.", 300, "CNAME", "a.Example.NET."),
    ("A.example.net.", 200, "CNAME", "b.example.net."),
    ("b.example.net.", 250, "A", "192.0.2.1"),
    ("b.example.net.", 250, "A", "192.0.2.2"),
)
FOUND = (b"\xc0\0\2\1", b"\xc0\0\2\2")


def answer(
    *records: tuple[str | int, ...], rrtype: int = A, rcode: int = 0, flags: int = 0
) -> bytes:
    """The answer to query number 7, names compressed."""
    query = dns.message.from_wire(build_query(7, NAME, rrtype))
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.flags |= flags
    for owner, ttl, what, *data in records:
        texts = map(str, data)
        reply.answer.append(dns.rrset.from_text(str(owner), int(ttl), "IN", str(what), *texts))
    return reply.to_wire()


def test_a_query() -> None:
    query = dns.message.from_wire(build_query(0xABCD, "a.Example.", AAAA))
    [question] = query.question
    assert (query.id, query.flags, query.edns, query.payload) == (0xABCD, dns.flags.RD, 0, 1232)
    assert question.to_text() == "a.Example. IN AAAA"
    assert dns.message.from_wire(build_query(1, "a", A, edns=False)).edns == -1


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", ".a", "a" * 64, "é.example", ".".join("a" * 126) + ".aa"]
)
def test_no_query_for_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError):
        build_query(1, name, A)


@pytest.mark.parametrize("records", [CHAIN, CHAIN[::-1], CHAIN[1:] + CHAIN[:1]])
def test_aliases_are_followed(records: tuple[tuple[str | int, ...], ...]) -> None:
    rcode, found, ttl = parse_addresses(build_query(7, "WWW.example.com.", A), answer(*records))
    assert (rcode, sorted(found), ttl) == (0, list(FOUND), 200)


def test_addresses_of_others_and_other_records_do_not_count() -> None:
    others = (
        ("other.example.", 1, "A", "192.0.2.9"),
        ("b.example.net.", 1, "AAAA", "2001:db8::1"),
        ("www.example.com.", 1, "TXT", "x"),
    )
    assert parse_addresses(QUERY, answer(*CHAIN, *others)) == Addresses(0, FOUND, 200)


def test_aliases_of_another_class_do_not_count() -> None:
    data = answer(*CHAIN).replace(b"\0\5\0\1", b"\0\5\0\3")
    assert parse_addresses(QUERY, data) == Addresses(0, (), 0)


def test_ipv6() -> None:
    data = answer((NAME + ".", 9, "AAAA", "2001:db8::1"), rrtype=AAAA)
    expected = bytes.fromhex("20010db8000000000000000000000001")
    assert parse_addresses(build_query(7, NAME, AAAA), data) == Addresses(0, (expected,), 9)


def test_no_addresses() -> None:
    assert parse_addresses(QUERY, answer()) == Addresses(0, (), 0)
    assert parse_addresses(QUERY, answer(*CHAIN[:2])) == Addresses(0, (), 200)
    assert parse_addresses(QUERY, answer(*CHAIN, rcode=NXDOMAIN)) == Addresses(3, (), 0)


def test_aliases_in_a_circle_end() -> None:
    circle = ("b.example.net.", 1, "CNAME", NAME + ".")
    assert parse_addresses(QUERY, answer(*CHAIN[:2], circle)) == Addresses(0, (), 1)


@pytest.mark.parametrize("rcode", [1, 2, 4, 5])
def test_a_server_that_understood_nothing(rcode: int) -> None:
    """It answers with the header alone."""
    data = b"\0\7\x81" + bytes((0x80 | rcode,)) + bytes(8)
    assert parse_addresses(QUERY, data) == Addresses(rcode, (), 0)


def test_the_highest_bit_of_a_ttl_makes_it_0() -> None:
    data = bytearray(answer((NAME + ".", 0x11223344, "A", "192.0.2.1")))
    data[data.index(b"\x11\x22\x33\x44")] = 0x91
    assert parse_addresses(QUERY, bytes(data)).ttl == 0


def test_truncated() -> None:
    with pytest.raises(MalformedError, match="truncated"):
        parse_addresses(QUERY, answer(*CHAIN[:2], flags=dns.flags.TC))
    assert parse_addresses(QUERY, answer(*CHAIN, flags=dns.flags.TC)).found == FOUND


@pytest.mark.parametrize(
    ("id_", "name", "rrtype"), [(8, NAME, A), (7, "ww.example.com", A), (7, NAME, AAAA)]
)
def test_answers_to_something_else(id_: int, name: str, rrtype: int) -> None:
    with pytest.raises(MalformedError, match="another question"):
        parse_addresses(build_query(id_, name, rrtype), answer(*CHAIN))


def test_neither_queries_nor_other_things_are_answers() -> None:
    data = answer(*CHAIN)
    no_class = data.index(b"\0\1\0\1", 12)
    for other in (
        build_query(7, NAME, A),
        data[:2] + bytes((data[2] | 0x08,)) + data[3:],  # another opcode
        data[:2] + bytes((data[2] & 0x7F,)) + data[3:],
        data[: no_class + 3] + b"\3" + data[no_class + 4 :],
        data[:4] + b"\0\0" + data[6:],
        data[:4] + b"\0\2" + data[6:],
    ):
        with pytest.raises(MalformedError, match="another question"):
            parse_addresses(QUERY, other)


def test_an_address_of_the_wrong_size() -> None:
    data = answer((NAME + ".", 1, "A", "192.0.2.1"))
    at = data.index(b"\0\4\xc0\0\2\1")
    with pytest.raises(MalformedError, match="size"):
        parse_addresses(QUERY, data[:at] + b"\0\3" + data[at + 3 :])


def test_no_part_of_an_answer_is_one() -> None:
    whole = answer(*CHAIN)
    end = whole.index(FOUND[1]) + 4
    for size in range(end):
        with pytest.raises(MalformedError):
            parse_addresses(QUERY, whole[:size])


@given(st.data())
def test_any_bytes_are_addresses_or_malformed(data: st.DataObject) -> None:
    said = bytearray(answer(*CHAIN))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, len(said) - 1))
        said[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        addresses = parse_addresses(QUERY, bytes(said))
    except MalformedError:
        return
    assert all(len(found) == 4 for found in addresses.found)
    assert 0 <= addresses.ttl < 1 << 31
