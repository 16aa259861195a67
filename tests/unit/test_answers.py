"""What the DNS server answers, as dnspython reads it, with a real pool of 6 slots."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from cgtproxy.config.model import Dns, FakePool
from cgtproxy.proxy.dns import answers as module
from cgtproxy.proxy.dns.answers import Answers, Forward
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import IN_USE, SlotTable

POOL = FakePool(IPv4Network("198.18.0.0/29"), IPv6Network("fc00::/18"))
DNS = Dns(listen=(), exclude=("*.lan", "Ntp?.example", "exact.example"), pool=POOL, ttl=7)
FIRST = {"A": "198.18.0.1", "AAAA": "fc00::1"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Pool:
    return Pool(SlotTable(Ranges(POOL), clock))


@pytest.fixture
def answers(pool: Pool) -> Answers:
    return Answers(DNS, pool, ipv6=True)


def ask(answers: Answers, name: str, kind: str, **options: Any) -> dns.message.Message:
    """The reply, which is one to the query in all cases."""
    query = dns.message.make_query(name, kind, **options)
    reply = answers.answer(query.to_wire())
    assert isinstance(reply, bytes)
    parsed = dns.message.from_wire(reply)
    assert query.is_response(parsed)
    assert parsed.question[0].name.labels == query.question[0].name.labels
    assert (parsed.edns >= 0) == (query.edns >= 0)
    return parsed


def ask_for(answers: Answers, name: str, kind: str) -> list[str]:
    reply = ask(answers, name, kind)
    assert reply.rcode() == dns.rcode.NOERROR
    return [f"{rrset.ttl} {record}" for rrset in reply.answer for record in rrset]


def forwarded(answers: Answers, name: str, kind: str) -> Forward:
    wire = dns.message.make_query(name, kind).to_wire()
    forward = answers.answer(wire)
    assert isinstance(forward, Forward)
    assert forward.data == wire
    return forward


@pytest.mark.parametrize("name", ["www.example", "WwW.eXample", "_dmarc.xn--a-b.example", "a-.b"])
def test_fake_ip_addresses(answers: Answers, pool: Pool, name: str) -> None:
    for _ in range(2):  # made, and kept
        for kind, address in FIRST.items():
            assert ask_for(answers, name, kind) == [f"7 {address}"]
        assert sorted(ask_for(answers, name, "ANY")) == [f"7 {FIRST['A']}", f"7 {FIRST['AAAA']}"]
    assert pool.name(1) == name.lower()


def test_kept_replies_are_to_the_query_at_hand(answers: Answers) -> None:
    for name in ("a.example", "A.example"):
        for options in ({}, {"use_edns": 0}, {"want_dnssec": True}, {"flags": 0}):
            for _ in range(2):
                reply = ask(answers, name, "A", **options)
                assert str(reply.answer[0][0]) == FIRST["A"]
                assert bool(reply.flags & dns.flags.RD) == ("flags" not in options)
                assert bool(reply.ednsflags & dns.flags.DO) == ("want_dnssec" in options)


@pytest.mark.parametrize("kind", ["HTTPS", "SVCB"])
def test_no_hints_of_real_addresses(answers: Answers, pool: Pool, kind: str) -> None:
    assert ask_for(answers, "www.example", kind) == ask_for(answers, "www.example", kind) == []
    assert not pool.name(1)


def test_without_ipv6(pool: Pool) -> None:
    answers = Answers(DNS, pool, ipv6=False)
    assert ask_for(answers, "www.example", "AAAA") == []
    assert not pool.name(1)
    assert ask_for(answers, "www.example", "ANY") == [f"7 {FIRST['A']}"]
    assert ask_for(answers, "localhost", "AAAA") == ["7 ::1"]
    assert forwarded(answers, "a.lan", "AAAA").excluded


def test_a_place_that_another_name_has_got(answers: Answers, pool: Pool, clock: Clock) -> None:
    old = ask_for(answers, "old.example", "A")
    clock.now += IN_USE + 1
    for number in range(6):
        ask_for(answers, f"{number}.example", "A")
        clock.now += 1
    assert "old.example" not in {pool.name(slot) for slot in range(1, 7)}
    clock.now += 2 * IN_USE
    new = ask_for(answers, "old.example", "A")
    assert new != old
    slot = pool.ranges.slot_of_host(new[0].split()[1])
    assert slot
    assert pool.name(slot) == "old.example"


def test_kept_replies_touch(answers: Answers, pool: Pool, clock: Clock) -> None:
    ask_for(answers, "www.example", "A")
    clock.now += 2 * IN_USE
    assert not pool.table.in_use(1)
    ask_for(answers, "www.example", "A")
    assert pool.table.in_use(1)


def test_a_full_pool(answers: Answers) -> None:
    for number in range(6):
        assert ask_for(answers, f"{number}.example", "A") == [f"7 198.18.0.{number + 1}"]
    assert ask(answers, "more.example", "A").rcode() == dns.rcode.SERVFAIL
    assert ask_for(answers, "0.example", "A") == ["7 198.18.0.1"]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "a.localhost", "b.a.localhost"])
def test_localhost(pool: Pool, name: str) -> None:
    for answers in (Answers(DNS, pool, ipv6=True), Answers(DNS, None, ipv6=True)):
        assert ask_for(answers, name, "A") == ["7 127.0.0.1"]
        assert ask_for(answers, name, "AAAA") == ["7 ::1"]
        assert ask_for(answers, name, "MX") == ask_for(answers, name, "HTTPS") == []


def test_names_of_fake_ip_addresses(answers: Answers) -> None:
    ask_for(answers, "www.example", "A")
    for address in FIRST.values():
        pointer = ip_address(address).reverse_pointer
        assert ask_for(answers, pointer, "PTR") == ["7 www.example."]
        assert ask_for(answers, pointer.upper(), "PTR") == ["7 www.example."]


@pytest.mark.parametrize("address", ["198.18.0.0", "198.18.0.2", "198.18.0.7", "fc00::", "fc00::9"])
def test_pool_addresses_without_a_name(answers: Answers, address: str) -> None:
    reply = ask(answers, ip_address(address).reverse_pointer, "PTR")
    assert reply.rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("address", ["198.18.0.8", "192.0.2.1", "fc00:4000::", "2001:db8::1"])
def test_names_of_other_addresses(answers: Answers, address: str) -> None:
    assert not forwarded(answers, ip_address(address).reverse_pointer, "PTR").excluded


@pytest.mark.parametrize("kind", ["A", "AAAA", "HTTPS", "MX", "ANY"])
@pytest.mark.parametrize(
    "name", ["printer", "a.lan", "A.b.LAN", "ntp1.example", "exact.example", r"my\032disk.b.lan"]
)
def test_excluded(answers: Answers, name: str, kind: str) -> None:
    assert forwarded(answers, name, kind).excluded


@pytest.mark.parametrize(
    "name", ["lan.example", "a.xlan", "ntp12.example", "www.exact.example", "exactXexample.org"]
)
def test_not_excluded(answers: Answers, name: str) -> None:
    assert len(ask_for(answers, name, "A")) == 1
    assert not forwarded(answers, name, "MX").excluded


@pytest.mark.parametrize(
    ("name", "kind"), [("a.example", "TXT"), (r"a\032b.example", "SRV"), (".", "NS"), (".", "A")]
)
def test_other_types_are_asked_for(answers: Answers, pool: Pool, name: str, kind: str) -> None:
    assert not forwarded(answers, name, kind).excluded
    assert not pool.name(1)


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY", "HTTPS"])
@pytest.mark.parametrize(
    "name",
    [
        r"a\032b.example", r"a\.b.example", r"a.b\000", r"\195\164.example", "*.example",
        "a@b.example", "127.1", "0x7f.0x1", "1.2.3.4", "a.0x", "a.0",
    ],
)  # fmt: skip
def test_what_no_proxy_would_understand(answers: Answers, pool: Pool, name: str, kind: str) -> None:
    assert ask(answers, name, kind).rcode() == dns.rcode.NXDOMAIN
    assert not pool.name(1)


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY", "HTTPS", "PTR"])
def test_without_a_pool_others_answer(kind: str) -> None:
    answers = Answers(DNS, None, ipv6=True)
    for name in ("www.example", r"a\032b.example", "1.0.18.198.in-addr.arpa"):
        assert not forwarded(answers, name, kind).excluded
    assert forwarded(answers, "a.lan", kind).excluded


def test_an_empty_list_excludes_nothing_with_a_dot(pool: Pool) -> None:
    answers = Answers(Dns(listen=(), pool=POOL), pool, ipv6=True)
    assert ask_for(answers, "a.lan", "A") == ["1 198.18.0.1"]
    assert forwarded(answers, "printer", "A").excluded


def test_errors(answers: Answers, pool: Pool) -> None:
    assert ask(answers, "a.example", "A", rdclass="CH").rcode() == dns.rcode.REFUSED
    newer = {"use_edns": 1, "want_dnssec": True}  # without DO, dnspython 2.3 makes it version 0
    assert ask(answers, "a.example", "A", **newer).rcode() == dns.rcode.BADVERS
    update = dns.message.make_query("a.example", "A", id=3)
    update.set_opcode(dns.opcode.UPDATE)
    reply = answers.answer(update.to_wire())
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply).rcode() == dns.rcode.NOTIMP
    cut = answers.answer(dns.message.make_query("a.example", "A", id=3).to_wire()[:-1])
    assert isinstance(cut, bytes)
    parsed = dns.message.from_wire(cut)
    assert (parsed.id, parsed.rcode(), parsed.question) == (3, dns.rcode.FORMERR, [])
    assert not pool.name(1)


def test_silence(answers: Answers) -> None:
    query = dns.message.make_query("a.example", "A")
    for size in range(12):
        assert answers.answer(query.to_wire()[:size]) is None
    assert answers.answer(dns.message.make_response(query).to_wire()) is None


def test_what_is_kept_is_bounded(
    answers: Answers, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 3)
    for number in range(10):
        for kind in ("A", "HTTPS"):
            ask(answers, f"{number % 5}.example", kind)
            assert len(answers._cache) <= 3
    kept = len(answers._cache)
    ask(answers, "0.example", "A", use_edns=0, pad=1024)
    assert len(answers._cache) == kept
