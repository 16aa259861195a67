"""Our parser and dnspython's read the same in messages that somebody has changed.

Where only one of them takes a message, it is for a reason that is named here.
"""

from __future__ import annotations

import re
import socket
from collections import Counter

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype

import search
from cgtproxy.proxy.protocols.dns import A, MalformedError, build_query, parse_addresses
from cgtproxy.proxy.protocols.dns_server import Edns, is_query, opcode, parse_query
from protocols.dns_names import escaped
from protocols.mutation import mutated

SECONDS = 1
QUERY = build_query(7, "www.example", A)


def by_dnspython(data: bytes) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        return None


def right_queries() -> list[bytes]:
    names = ("www.example.com", "a.lan", "1.0.18.198.in-addr.arpa", ".", "Ä.example")
    return [
        dns.message.make_query(name, rrtype, use_edns=edns, want_dnssec=edns == 0).to_wire()
        for name in names
        for rrtype in ("A", "HTTPS", "TXT")
        for edns in (False, 0)
    ]


def right_answers() -> list[bytes]:
    chain = (
        "www.example. 300 IN CNAME a.example.",
        "a.example. 200 IN CNAME b.example.",
        "b.example. 250 IN A 192.0.2.1",
        "b.example. 250 IN A 192.0.2.2",
    )
    head = "id 7\nflags QR RD RA\n;QUESTION\nwww.example. IN A\n;ANSWER\n"
    kinds = (chain, chain[::-1], chain[:2], ("www.example. 9 IN A 192.0.2.3",), ())
    return [dns.message.from_text(head + "\n".join(records)).to_wire() for records in kinds]


def assert_same_query(data: bytes) -> None:
    """What we have read is what dnspython reads, in as much as it does."""
    ours = parse_query(data)
    [question] = dns.message.from_wire(data, question_only=True).question
    assert (ours.name, ours.rrtype) == (escaped(question.name), question.rdtype), data
    assert ours.class_ == question.rdclass, data
    try:
        theirs = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError) as error:
        assert not isinstance(error, dns.message.BadEDNS | dns.message.TrailingJunk), data
        return
    edns = Edns(theirs.payload, theirs.edns, bool(theirs.ednsflags & dns.flags.DO))
    assert ours.edns == (edns if theirs.edns >= 0 else None), data


def test_queries() -> None:
    """We do not look into records that a query has no use for: dnspython refuses some of them."""
    random, right = search.seeded(), right_queries()
    seen: Counter[bool] = Counter()
    for _ in search.lasting(SECONDS):
        data = mutated(random, right)
        if not is_query(data) or opcode(data):  # which is not for parse_query()
            continue
        try:
            assert_same_query(data)
        except MalformedError as error:
            theirs = by_dnspython(data)
            # dnspython follows pointers into the header, too, and takes queries with no question.
            assert not theirs or re.search(r"pointer|^0 questions", str(error)), data
            seen[False] += 1
        else:
            seen[True] += 1
    assert min(seen.values()) > 1000, seen


def addresses_by_dnspython(message: dns.message.QueryMessage) -> set[str] | None:
    """Those at the end of the chain of aliases; None where dnspython and we differ on purpose.

    We follow circles to where they began, and an alias even where its name has addresses, too.
    """
    aliases = {rrset.name for rrset in message.answer if rrset.rdtype == dns.rdatatype.CNAME}
    if any(rrset.name in aliases and rrset.rdtype == A for rrset in message.answer):
        return None
    try:
        chain = message.resolve_chaining()
    except dns.message.ChainTooLong:
        return None
    return {record.to_text() for record in chain.answer or ()}


def test_addresses() -> None:
    random, right, asked = search.seeded(), right_answers(), dns.message.from_wire(QUERY)
    seen: Counter[bool] = Counter()
    for _ in search.lasting(SECONDS):
        data = mutated(random, right)
        theirs = by_dnspython(data)
        answers = isinstance(theirs, dns.message.QueryMessage) and asked.is_response(theirs)
        try:
            ours = parse_addresses(QUERY, data)
        except MalformedError as error:
            assert not answers or "pointer" in str(error) or "truncated" in str(error), data
            seen[False] += 1
            continue
        if not theirs:  # it also reads records that are not ours
            continue
        assert isinstance(theirs, dns.message.QueryMessage)
        assert answers, data
        assert ours.rcode == theirs.rcode() & 15, data
        found = set() if ours.rcode else addresses_by_dnspython(theirs)
        assert found in ({socket.inet_ntoa(packed) for packed in ours.found}, None), data
        seen[True] += 1
    assert min(seen.values()) > 1000, seen
