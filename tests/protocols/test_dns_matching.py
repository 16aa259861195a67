"""Which messages count as the answer to a query (RFC 5452, section 9.1), beside dnspython."""

from __future__ import annotations

import struct
from collections import Counter

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

import search
from cgtproxy.proxy.protocols.dns import A, build_query, is_answer
from protocols.mutation import mutated

QUERY = build_query(0x1234, "www.Example.com", A)
NAME_END = QUERY.index(b"\3com\0") + 5
QUESTION = slice(12, NAME_END + 4)
WITHOUT_QUESTION = {dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED}


def response(rcode: int = 0) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(QUERY))
    answer.set_rcode(dns.rcode.Rcode(rcode))
    answer.answer.append(dns.rrset.from_text("www.example.com.", 60, "IN", "A", "192.0.2.1"))
    return answer.to_wire()


def header(data: bytes, *, counts: tuple[int, int, int, int] = (0, 0, 0, 0)) -> bytes:
    return data[:4] + struct.pack("!4H", *counts)


def by_dnspython(query: bytes, message: bytes) -> bool:
    """What dnspython says, but that more than one question is refused, if it is twice the same."""
    try:
        asked = dns.message.from_wire(query, question_only=True)
        said = dns.message.from_wire(message, question_only=True)
    except (dns.exception.DNSException, ValueError):
        return False
    return asked.is_response(said) and len(said.question) <= 1


def test_a_response_is_one_in_whatever_case_its_question_is() -> None:
    right = response()
    assert is_answer(QUERY, right)
    for question in (right[QUESTION].upper(), right[QUESTION].lower()):
        changed = question[:-4] + right[QUESTION][-4:]
        assert is_answer(QUERY, right[:12] + changed + right[QUESTION.stop :])
    assert not is_answer(QUERY, QUERY)


@pytest.mark.parametrize("place", range(12 + len(QUERY[QUESTION])))
def test_each_bit_of_the_id_the_opcode_and_the_question_counts(place: int) -> None:
    """So does QR. Other flags, the rcode and the numbers of records may be anything."""
    right = bytearray(response())
    for bit in range(8):
        wrong = bytearray(right)
        wrong[place] ^= 1 << bit
        letter = place >= 12 and bytes([right[place]]).isalpha() and bit == 5
        free = (place == 2 and bit < 3) or place == 3 or 6 <= place < 12 or letter
        assert is_answer(QUERY, bytes(wrong)) == free == by_dnspython(QUERY, bytes(wrong)), bit


def test_types_are_not_letters() -> None:
    """65 is HTTPS and "A", 97 is nothing and "a"."""
    query = build_query(1, "a.example", 65)
    other = build_query(1, "a.example", 97)
    for asked, said in ((query, other), (other, query)):
        assert not is_answer(asked, said[:2] + b"\x81\x80" + said[4:])
        assert is_answer(asked, asked[:2] + b"\x81\x80" + asked[4:])


@pytest.mark.parametrize("rcode", range(16))
def test_only_who_has_understood_nothing_may_leave_the_question_out(rcode: int) -> None:
    bare = header(response(rcode))
    assert is_answer(QUERY, bare) == (rcode in WITHOUT_QUESTION) == by_dnspython(QUERY, bare)


def test_the_question_alone_and_once() -> None:
    right = response()
    other = build_query(0, "other.example", A)[12 : 12 + 15 + 4]
    for questions in (right[QUESTION] * 2, right[QUESTION] + other, other + right[QUESTION]):
        assert not is_answer(QUERY, header(right, counts=(2, 0, 0, 0)) + questions)
    # A pointer at what would be read as the name, if pointers forward were followed.
    pointing = b"\xc0\x12\0\1\0\1" + right[QUESTION]
    assert not is_answer(QUERY, header(right, counts=(1, 0, 0, 0)) + pointing)


def test_no_beginning_of_an_answer_is_one() -> None:
    right = response()
    for size in range(QUESTION.stop):
        assert not is_answer(QUERY, right[:size])
    assert is_answer(QUERY, right[: QUESTION.stop])


@given(st.binary(max_size=80))
def test_noise_is_no_answer(noise: bytes) -> None:
    assert not is_answer(QUERY, noise)
    assert is_answer(QUERY, QUERY[:2] + noise) == by_dnspython(QUERY, QUERY[:2] + noise)


def test_dnspython_agrees_about_what_somebody_has_changed() -> None:
    random = search.seeded()
    right = [response(rcode) for rcode in (0, 2, 3)] + [header(response(2)), QUERY]
    seen: Counter[bool] = Counter()
    for _ in search.lasting(1):
        message = mutated(random, right)
        answer = is_answer(QUERY, message)
        assert answer == by_dnspython(QUERY, message), message
        seen[answer] += 1
    assert min(seen.values()) > 1000
