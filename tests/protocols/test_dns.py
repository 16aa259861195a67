"""DNS messages against dnspython's."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from dns.edns import OptionType
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.proxy.protocols.dns import BADVERS, NXDOMAIN, A, MalformedError, read_name
from cgtproxy.proxy.protocols.dns_server import (
    Edns,
    address_of_pointer,
    failure,
    is_query,
    opcode,
    parse_query,
    record,
    reply,
    truncate,
)
from protocols.dns_names import escaped

HEADER_SIZE = 12
HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0000")
QUESTION = b"\1a\7example\0\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=6).filter(
    lambda labels: sum(map(len, labels)) + len(labels) < 255
)
OPTIONS: st.SearchStrategy[dns.edns.Option] = st.one_of(
    st.builds(
        dns.edns.GenericOption, st.just(OptionType.COOKIE), st.binary(min_size=8, max_size=8)
    ),
    st.builds(
        dns.edns.ECSOption,
        st.ip_addresses().map(str),
        st.integers(0, 32),
    ),
    st.builds(dns.edns.GenericOption, st.integers(100, 65000), st.binary(max_size=40)),
)


@st.composite
def queries(draw: st.DrawFn) -> dns.message.QueryMessage:
    query = dns.message.make_query(
        dns.name.Name([*draw(LABELS), b""]),
        dns.rdatatype.RdataType(draw(st.integers(1, 40))),
        flags=draw(st.sampled_from([0, dns.flags.RD, dns.flags.RD | dns.flags.CD])),
        id=draw(st.integers(0, 65535)),
    )
    if draw(st.booleans()):
        query.use_edns(
            edns=draw(st.integers(0, 255)),
            ednsflags=draw(st.sampled_from([0, dns.flags.DO])),
            payload=draw(st.integers(0, 65535)),
            options=draw(st.lists(OPTIONS, max_size=3)),
        )
    return query


@given(queries())
def test_a_query_is_what_dnspython_meant(query: dns.message.QueryMessage) -> None:
    wire = query.to_wire()
    parsed = parse_query(wire)
    question = query.question[0]
    assert (parsed.name, parsed.rrtype, parsed.class_) == (
        escaped(question.name),
        question.rdtype,
        1,
    )
    expected = Edns(query.payload, query.edns, bool(query.ednsflags & dns.flags.DO))
    assert parsed.edns == (expected if query.edns >= 0 else None)
    assert wire[parsed.end :].startswith(b"\0\0\x29" if parsed.edns else b"")


@given(queries(), st.sampled_from([0, NXDOMAIN, BADVERS]), st.booleans())
def test_a_reply_is_one_to_dnspython(
    query: dns.message.QueryMessage, rcode: int, answered: bool
) -> None:
    wire = query.to_wire()
    records = (record(A, 5, b"\1\2\3\4"),) if answered else ()
    # BADVERS has bits in the OPT record: without one, there is no such reply.
    rcode = rcode if query.edns >= 0 else rcode & 15
    answer = dns.message.from_wire(reply(wire, parse_query(wire), rcode, *records))
    assert query.is_response(answer)
    # dnspython compares names in lower case, but keeps them as they came.
    assert answer.question[0].name.labels == query.question[0].name.labels
    assert answer.rcode() == rcode
    assert answer.flags & ~dns.flags.QR & ~dns.flags.RA & ~15 == query.flags
    assert answer.flags & dns.flags.RA
    assert (answer.edns >= 0) == (query.edns >= 0)
    if answer.edns >= 0:
        assert (answer.edns, answer.payload) == (0, 1232)
        assert answer.ednsflags & dns.flags.DO == query.ednsflags & dns.flags.DO
    if answered:
        [found] = answer.answer
        assert (found.name, found.ttl, str(found[0])) == (
            query.question[0].name,
            5,
            "1.2.3.4",
        )


@pytest.mark.parametrize("code", list(dns.opcode.Opcode))
def test_a_failure_has_id_opcode_and_rd(code: dns.opcode.Opcode) -> None:
    query = dns.message.make_query("a.example", "A", id=7)
    query.set_opcode(code)
    wire = query.to_wire()
    assert is_query(wire)
    assert opcode(wire) == code
    answer = dns.message.from_wire(failure(wire, dns.rcode.NOTIMP))
    assert (answer.id, answer.opcode(), answer.rcode()) == (7, code, dns.rcode.NOTIMP)
    assert answer.flags & dns.flags.QR
    assert answer.flags & dns.flags.RD
    assert not answer.question


@pytest.mark.parametrize(
    ("payload", "expected"), [(None, 512), (0, 512), (700, 700), (1232, 1232), (4096, 1232)]
)
def test_the_size_of_a_reply(payload: int | None, expected: int) -> None:
    query = dns.message.make_query("a.example", "A", use_edns=payload is not None, payload=payload)
    assert parse_query(query.to_wire()).udp_size == expected


def test_a_truncated_reply_keeps_the_question_and_the_rcode() -> None:
    query = dns.message.make_query("A.example", "TXT", want_dnssec=True)
    theirs = dns.message.make_response(query, recursion_available=True)
    theirs.set_rcode(dns.rcode.NXDOMAIN)
    theirs.flags |= dns.flags.AD
    wire = query.to_wire()
    answer = dns.message.from_wire(truncate(theirs.to_wire(), wire, parse_query(wire)))
    assert query.is_response(answer)
    assert answer.flags == theirs.flags | dns.flags.TC
    assert (answer.rcode(), answer.edns) == (dns.rcode.NXDOMAIN, 0)
    assert str(answer.question[0].name) == "A.example."


def with_counts(questions: int, answers: int, authorities: int, additional: int) -> bytes:
    return HEADER[:4] + struct.pack("!4H", questions, answers, authorities, additional)


@pytest.mark.parametrize(
    ("why", "rest", "counts"),
    [
        ("4998 bytes", QUESTION + OPT[:-2] + b"\x13\x60" + bytes(4960), (1, 0, 0, 1)),
        ("0 questions", b"", (0, 0, 0, 0)),
        ("2 questions", QUESTION * 2, (2, 0, 0, 0)),
        ("9 records", QUESTION + b"\0\0\1\0\1\0\0\0\0\0\0" * 9, (1, 3, 3, 3)),
        ("pointer", b"\xc0\x0c\0\1\0\1", (1, 0, 0, 0)),  # to itself
        ("pointer", b"\1a\xc0\x0c\0\1\0\1", (1, 0, 0, 0)),
        ("pointer", b"\xc0\x04\0\1\0\1", (1, 0, 0, 0)),  # into the header
        ("pointer", b"\xc0\x11\0\1\0\1", (1, 0, 0, 0)),  # forwards
        ("type 1", b"\x41a\0\0\1\0\1", (1, 0, 0, 0)),
        ("type 2", b"\x80a\0\0\1\0\1", (1, 0, 0, 0)),
        ("too long", b"\1a" * 126 + b"\2aa\0\0\1\0\1", (1, 0, 0, 0)),
        ("follows", QUESTION + b"x", (1, 0, 0, 0)),
        ("misplaced", QUESTION + OPT * 2, (1, 0, 0, 2)),
        ("misplaced", QUESTION + OPT, (1, 1, 0, 0)),
        ("misplaced", QUESTION + OPT, (1, 0, 1, 0)),
        ("misplaced", QUESTION + b"\1a" + OPT, (1, 0, 0, 1)),
        ("message is cut", QUESTION + OPT, (1, 0, 0, 2)),
        ("record is cut", QUESTION + OPT[:-1] + b"\1", (1, 0, 0, 1)),
        ("message is cut", QUESTION + OPT[:-1] + b"\3\0\x0a\0", (1, 0, 0, 1)),
        ("option is cut", QUESTION + OPT[:-1] + b"\5\0\x0a\0\2a", (1, 0, 0, 1)),
    ],
)
def test_malformed(why: str, rest: bytes, counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(MalformedError, match=why):
        parse_query(with_counts(*counts) + rest)


def test_a_name_of_255_bytes() -> None:
    wire = b"\x01a" * 127
    assert parse_query(HEADER + wire + b"\0\0\1\0\1").name == ".".join("a" * 127)


def after_pointers(number: int) -> tuple[str, int]:
    """A name, then pointers, each to what is before it; and what the last one leads to."""
    places = (HEADER_SIZE, *range(HEADER_SIZE + 3, HEADER_SIZE + 3 + 2 * number, 2))
    pointers = struct.pack(f"!{number}H", *(0xC000 | place for place in places[:number]))
    return read_name(bytes(HEADER_SIZE) + b"\1a\0" + pointers, places[-1])


def test_pointers_go_backwards_and_not_on_for_ever() -> None:
    assert after_pointers(127) == ("a", HEADER_SIZE + 3 + 2 * 127)
    with pytest.raises(MalformedError, match="pointer"):
        after_pointers(128)
    # At 12 a pointer forwards, to the name at 14: wrong, although all is before the name at 17.
    with pytest.raises(MalformedError, match="pointer"):
        read_name(bytes(HEADER_SIZE) + b"\xc0\x0e\1a\0\xc0\x0c", HEADER_SIZE + 5)


def test_records_besides_opt_are_skipped() -> None:
    other = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4abcd"
    data = with_counts(1, 1, 1, 2) + QUESTION + other * 3 + OPT
    assert parse_query(data).edns == Edns(1232, 0, False)


@given(queries())
def test_no_part_of_a_query_is_one(query: dns.message.QueryMessage) -> None:
    wire = query.to_wire()
    for size in range(len(wire)):
        with pytest.raises(MalformedError):
            parse_query(wire[:size])


@given(st.ip_addresses())
def test_pointers(address: IPv4Address | IPv6Address) -> None:
    assert address_of_pointer(address.reverse_pointer) == address.packed


@pytest.mark.parametrize(
    "name",
    [
        "", "in-addr.arpa", "3.2.1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa",
        "256.2.3.4.in-addr.arpa", "01.2.3.4.in-addr.arpa", "a.3.2.1.in-addr.arpa",
        "1_0.3.2.1.in-addr.arpa", "4.3.2.1.ip6.arpa",
        "0." * 31 + "ip6.arpa", "0." * 33 + "ip6.arpa", "g." + "0." * 31 + "ip6.arpa",
        "00." + "0." * 30 + "ip6.arpa", "4.3.2.1.in-addr.arpa.example",
    ],
)  # fmt: skip
def test_no_pointers(name: str) -> None:
    assert address_of_pointer(name) is None
