"""What becomes of other servers' answers on their way to the client."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from cgtproxy.config.model import Dns
from cgtproxy.proxy.dns.answers import Answers, Forward

ANSWERS = Answers(Dns(listen=()), None, ipv6=True)


def ask(size: int | None) -> tuple[dns.message.Message, dns.message.Message, Forward]:
    """A query, an answer of 1,100 bytes, and what is between them. `size` None: without EDNS."""
    query = dns.message.make_query("A.example", "TXT", use_edns=size is not None, payload=size)
    answer = dns.message.make_response(query)
    texts = [letter * 200 for letter in "abcde"]
    answer.answer.append(dns.rrset.from_text("A.example.", 9, "IN", "TXT", *texts))
    forward = ANSWERS.answer(query.to_wire())
    assert isinstance(forward, Forward)
    return query, answer, forward


@pytest.mark.parametrize(("size", "fits"), [(None, False), (900, False), (1232, True)])
def test_by_udp_it_is_truncated_to_what_the_client_takes(size: int | None, fits: bool) -> None:
    query, answer, forward = ask(size)
    got = dns.message.from_wire(forward.fit(answer.to_wire(max_size=65535), udp=True))
    assert query.is_response(got)
    assert got.answer == (answer.answer if fits else [])
    assert bool(got.flags & dns.flags.TC) != fits


def test_by_tcp_it_stays_whole_and_has_the_clients_id() -> None:
    query, answer, forward = ask(None)
    answer.id ^= 1
    got = dns.message.from_wire(forward.fit(answer.to_wire(max_size=65535), udp=False))
    assert query.is_response(got)
    assert got.answer == answer.answer


@pytest.mark.parametrize("size", [None, 1232])
def test_no_answer(size: int | None) -> None:
    query, answer, forward = ask(size)
    for failure in (forward.failure(), forward.fit(answer.to_wire()[:11], udp=True)):
        got = dns.message.from_wire(failure)
        assert query.is_response(got)
        assert (got.rcode(), got.edns) == (dns.rcode.SERVFAIL, query.edns)
