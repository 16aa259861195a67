"""A second of what nobody should send, for each machine that reads from the network.

Part of the messages is noise, the others are right ones with some bytes changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network
from itertools import count
from random import Random

import dns.edns
import dns.message
import pytest
from dns.edns import OptionType
from dns.opcode import Opcode

import search
from cgtproxy.config.model import Dns, FakePool
from cgtproxy.proxy.dns import answers as module
from cgtproxy.proxy.dns.answers import Answers, Forward
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.protocols.dns import A, Addresses, MalformedError, build_query, parse_addresses
from cgtproxy.proxy.protocols.handshake import HandshakeError, HostPort
from cgtproxy.proxy.protocols.http import MAX_HEAD, HttpConnect
from cgtproxy.proxy.protocols.socks5 import MAX_UDP_HEADER, Socks5, parse_datagram
from protocols.mutation import mutated

SECONDS = 1
POOL = FakePool(network=IPv4Network("198.18.0.0/29"))
CACHED = 100


def messages(random: Random, right: Sequence[bytes], beginning: int) -> Iterator[bytes]:
    """Noise begins as something right does, for that many bytes, every other time."""
    for _ in search.lasting(SECONDS):
        data = mutated(random, right)
        if random.randrange(4) == 0:
            kept = data[: random.choice((0, beginning))]
            data = kept + random.randbytes(min(int(random.paretovariate(1.1)) * 20, 65535))
        yield data


def queries() -> list[bytes]:
    options: list[dns.edns.Option] = [
        dns.edns.GenericOption(OptionType.COOKIE, b"12345678abcdefgh"),
        dns.edns.ECSOption("192.0.2.0", 24),
        dns.edns.GenericOption(dns.edns.OptionType(12), bytes(30)),
    ]
    found = []
    names = ("www.example.com", "a.lan", "localhost", "1.0.18.198.in-addr.arpa", ".", "x." * 100)
    for name in names:
        for kind in ("A", "AAAA", "HTTPS", "PTR", "ANY", "TXT"):
            plain = dns.message.make_query(name, kind)
            with_edns = dns.message.make_query(name, kind, want_dnssec=True, options=options)
            found += [plain.to_wire(), with_edns.to_wire()]
    return found


def right_reply(data: bytes, reply: bytes, sampled: bool) -> str:
    assert reply[:2] == data[:2]
    assert reply[2] & 0x80
    assert 12 <= len(reply) <= 512
    if sampled and reply[2] >> 3 & 15 in list(Opcode):  # dnspython 2.3 reads no others
        dns.message.from_wire(reply)
    return f"rcode {reply[3] & 15}"


def test_dns_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", CACHED)
    # A clock on which names come out of use, but not always in time for the next one.
    pool = Pool(SlotTable(Ranges(POOL), count().__next__))
    answers = Answers(Dns(listen=(), exclude=("*.lan",)), pool, ipv6=True)
    random = search.seeded()
    seen: Counter[str] = Counter()
    for number, data in enumerate(messages(random, queries(), 12)):
        reply = answers.answer(data)
        if reply is None:
            assert len(data) < 12 or data[2] & 0x80
            seen["silence"] += 1
        elif isinstance(reply, Forward):
            assert right_reply(data, reply.failure(), number % 100 == 0) == "rcode 2"
            seen["forward"] += 1
        else:
            seen[right_reply(data, reply, number % 20 == 0)] += 1
        assert len(answers._cache) <= CACHED
    # Each way was gone, many times: FORMERR, SERVFAIL (the pool is small), and so on.
    ways = {"silence", "forward", *(f"rcode {code}" for code in range(6))}
    assert {way for way, times in seen.items() if times > 100} == ways, seen


def test_dns_answers() -> None:
    wire = build_query(7, "www.example", A)
    query = dns.message.from_wire(wire)
    right = []
    for records in (
        "www.example. 9 IN A 192.0.2.1",
        "www.example. 9 IN CNAME a.example.\na.example. 8 IN A 192.0.2.1",
        "www.example. 9 IN CNAME a.example.\na.example. 8 IN CNAME www.example.",
    ):
        text = f"id 7\nflags QR RA\n;QUESTION\n{query.question[0]}\n;ANSWER\n{records}\n"
        right.append(dns.message.from_text(text).to_wire())
    seen: Counter[bool] = Counter()
    for data in messages(search.seeded(), right, 12):
        try:
            addresses = parse_addresses(wire, data)
        except MalformedError:
            seen[False] += 1
            continue
        assert isinstance(addresses, Addresses)
        assert all(len(address) == 4 for address in addresses.found)
        seen[bool(addresses.found)] += 1
    assert min(seen[True], seen[False]) > 1000


def fed(random: Random, machine: Socks5 | HttpConnect, data: bytes, most: int) -> str:
    """How the conversation ended. As long as it did not, fewer than `most` bytes are held."""
    machine.start()
    at = 0
    try:
        while at < len(data) and not machine.done:
            size = random.choice((1, 2, 10, 1000, 65536))
            machine.receive(data[at : at + size])
            at += size
            assert machine.done or len(machine.rest) < most
    except HandshakeError as error:
        return type(error).__name__
    return "done" if machine.done else "waits"


SOCKS = [
    greeting + reply
    for greeting in (b"\5\0", b"\5\2\1\0", b"\5\2\1\1")
    for reply in (
        b"\5\0\0\1\x7f\0\0\1\0\x50rest",
        b"\5\0\0\3\x0awww.a.test\0\x50",
        b"\5\0\0\4" + bytes(18),
        b"\5\5\0\1" + bytes(6),
        b"\5\7\0\1" + bytes(6),
    )
]
HTTP = [
    b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nrest",
    b"HTTP/1.0 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
    b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\n\n",
    b"HTTP/1.1 403 Forbidden\r\n\r\n",
]
ENDS = {"done", "waits", "UnusableError", "DeniedError", "RefusedError"}


@pytest.mark.parametrize(
    ("make", "right", "beginning", "most"),
    [
        (lambda: Socks5(HostPort("a.test", 80), "user", "secret"), SOCKS, 5, MAX_UDP_HEADER),
        (lambda: HttpConnect(HostPort("a.test", 80)), HTTP, 13, MAX_HEAD),
    ],
    ids=["socks5", "http"],
)
def test_handshakes(
    make: Callable[[], Socks5 | HttpConnect], right: list[bytes], beginning: int, most: int
) -> None:
    random = search.seeded()
    seen = Counter(fed(random, make(), data, most) for data in messages(random, right, beginning))
    assert {end for end, times in seen.items() if times > 1000} == ENDS


def test_socks_datagrams() -> None:
    right = [b"\0" + reply for reply in (b"\0\0\1abcd\0\x50payload", b"\0\0\3\1a\0\x50", b"\0\0\4")]
    seen: Counter[bool] = Counter()
    for data in messages(search.seeded(), right, 4):
        parsed = parse_datagram(data)
        assert parsed is None or 7 <= parsed[1] <= len(data)
        seen[parsed is None] += 1
    assert min(seen.values()) > 1000
