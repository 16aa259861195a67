"""Looking names up without blocking, of servers that behave and of others."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeAlias

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.names.stub import Stub

NAME = "host.example"
BOTH = ["192.0.2.7", "2001:db8::7"]


def answer(
    query: dns.message.Message,
    *,
    a: Sequence[str] = ("192.0.2.7",),
    aaaa: Sequence[str] = ("2001:db8::7",),
    ttl: int = 60,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> bytes:
    reply = dns.message.make_response(query)
    reply.set_rcode(rcode)
    kind = query.question[0].rdtype
    addresses = {dns.rdatatype.A: a, dns.rdatatype.AAAA: aaaa}[kind]
    if addresses and rcode == dns.rcode.NOERROR:
        alias = dns.rrset.from_text(query.question[0].name, ttl, "IN", "CNAME", "alias.example.")
        found = dns.rrset.from_text("alias.example.", ttl, "IN", kind, *addresses)
        reply.answer += [alias, found]
    return reply.to_wire()


Behave: TypeAlias = Callable[[dns.message.Message], Sequence[bytes]]


class Server(threading.Thread):
    """Sends for each query what `behave(query)` returns: messages, perhaps none."""

    def __init__(self, behave: Behave, family: int = socket.AF_INET) -> None:
        super().__init__(daemon=True)
        self.behave = behave
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind("" if family == socket.AF_UNIX else ("127.0.0.1", 0))
        self.address = int(family), self.sock.getsockname()
        self.queries: list[dns.message.Message] = []
        self.peers: list[Any] = []

    def run(self) -> None:
        while True:
            data, peer = self.sock.recvfrom(4096)
            if data == b"stop":
                return
            query = dns.message.from_wire(data)
            self.queries.append(query)
            self.peers.append(peer)
            for message in self.behave(query):
                self.sock.sendto(message, peer)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(self.sock.family, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"stop", self.address[1])
        self.join()
        self.sock.close()


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


def stub_of(reactor: Reactor, *servers: Any) -> Stub:
    return Stub(reactor, lambda: [server.address for server in servers], 0x2C9)


def look_up(stub: Stub, *names: str) -> list[list[str]]:
    """The results for all names, asked at once."""
    found = {}

    def done(number: int, addresses: list[str]) -> None:
        found[number] = addresses
        if len(found) == len(names):
            stub.reactor.stop()

    for number, name in enumerate(names):
        stub.look_up(name, partial(done, number))
    assert not found  # never before look_up() has returned
    stub.reactor.run()
    return [found[number] for number in range(len(names))]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_both_families_by_one_look_up(reactor: Reactor, family: int) -> None:
    with Server(lambda query: [answer(query)], family) as server:
        assert look_up(stub_of(reactor, server), NAME) == [BOTH]
        assert {query.question[0].rdtype for query in server.queries} == {1, 28}
        assert all(query.flags & dns.flags.RD for query in server.queries)


def test_an_address_is_its_own_answer(reactor: Reactor) -> None:
    assert look_up(stub_of(reactor), "192.0.2.1", "2001:db8::1") == [["192.0.2.1"], ["2001:db8::1"]]


def test_equal_look_ups_are_one_and_remembered_for_the_ttl(reactor: Reactor) -> None:
    with Server(lambda query: [answer(query)]) as server:
        stub = stub_of(reactor, server)
        assert look_up(stub, NAME, NAME.upper(), NAME + ".") == [BOTH] * 3
        assert look_up(stub, NAME) == [BOTH]
        assert len(server.queries) == 2
    with Server(lambda query: [answer(query, ttl=0)]) as server:
        stub = stub_of(reactor, server)
        assert look_up(stub, NAME) == look_up(stub, NAME) == [BOTH]
        assert len(server.queries) == 4


def test_who_was_answered_is_let_go(reactor: Reactor) -> None:
    """Not kept until the garbage collector comes, which it rarely does in a worker."""

    class Session:
        def found(self, _: object) -> None:
            reactor.stop()

    gc.disable()
    try:
        with Server(lambda query: [answer(query)]) as server:
            session = Session()
            stub_of(reactor, server).look_up(NAME, session.found)
            known = weakref.ref(session)
            del session
            reactor.run()
            assert known() is None
    finally:
        gc.enable()


def test_ids_and_ports_are_not_to_be_guessed(reactor: Reactor) -> None:
    with Server(lambda query: [answer(query)]) as server:
        look_up(stub_of(reactor, server), *(f"host-{n}.example" for n in range(20)))
        assert len({query.id for query in server.queries}) > 20
        assert len({port for _, port in server.peers}) > 10


def test_only_the_answer_to_the_question_counts(reactor: Reactor) -> None:
    def behave(query: dns.message.Message) -> Any:
        false = answer(query, a=["203.0.113.66"], aaaa=["2001:db8::66"])
        guessed = bytearray(false)
        guessed[0] ^= 1
        other = dns.message.from_wire(false)
        other.question[0].name = dns.name.from_text("other.example.")
        return [bytes(guessed), other.to_wire(), b"", false[:20], answer(query)]

    with Server(behave) as server:
        assert look_up(stub_of(reactor, server), NAME) == [BOTH]


def test_an_answer_from_elsewhere_does_not_count(reactor: Reactor) -> None:
    with Server(lambda query: []) as stranger:

        def behave(query: dns.message.Message) -> Any:
            false = answer(query, a=["203.0.113.66"], aaaa=["2001:db8::66"])
            stranger.sock.sendto(false, server.peers[-1])
            return [answer(query)]

        with Server(behave) as server:
            assert look_up(stub_of(reactor, server), NAME) == [BOTH]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_server_that_fails_is_passed_over_at_once(
    reactor: Reactor, rcode: dns.rcode.Rcode
) -> None:
    def fail(query: dns.message.Message) -> Any:
        return [answer(query, rcode=rcode)]

    with Server(fail) as first, Server(lambda query: [answer(query)]) as second:
        assert look_up(stub_of(reactor, first, second), NAME) == [BOTH]
        assert (len(first.queries), len(second.queries)) == (2, 2)
        assert look_up(stub_of(reactor, first), "other.example") == [[]]
        assert len(first.queries) == 4


def test_a_server_that_is_down_is_passed_over_at_once(reactor: Reactor) -> None:
    with Server(lambda query: []) as gone:
        pass
    with Server(lambda query: [answer(query)]) as server:
        assert look_up(stub_of(reactor, gone, server), NAME) == [BOTH]
    assert look_up(stub_of(reactor, gone), NAME) == look_up(stub_of(reactor), NAME) == [[]]


def test_what_is_lost_is_asked_again_and_what_is_late_counts(reactor: Reactor) -> None:
    late = []

    def lose_the_first(query: dns.message.Message) -> Any:
        late.append(query)
        return [answer(query) for query in late] if len(late) > 2 else []

    with Server(lose_the_first) as server:
        assert look_up(stub_of(reactor, server), NAME) == [BOTH]
        assert 3 <= len(server.queries) <= 4


def test_one_family_is_enough(reactor: Reactor) -> None:
    with Server(lambda query: [answer(query, aaaa=())]) as server:
        assert look_up(stub_of(reactor, server), NAME) == [BOTH[:1]]

    def mute_for_aaaa(query: dns.message.Message) -> Any:
        return [answer(query)] if query.question[0].rdtype == 1 else []

    with Server(mute_for_aaaa) as server:
        assert look_up(stub_of(reactor, server), NAME) == [BOTH[:1]]
        assert len(server.queries) == 2

    def fail_for_aaaa(query: dns.message.Message) -> Any:
        rcode = dns.rcode.SERVFAIL if query.question[0].rdtype == 28 else dns.rcode.NOERROR
        return [answer(query, rcode=rcode)]

    with Server(fail_for_aaaa) as server:
        assert look_up(stub_of(reactor, server), NAME) == [BOTH[:1]]


def test_no_such_name(reactor: Reactor) -> None:
    with Server(lambda query: [answer(query, rcode=dns.rcode.NXDOMAIN)]) as server:
        assert look_up(stub_of(reactor, server), NAME) == [[]]
        assert len(server.queries) == 2
        assert look_up(stub_of(reactor, server), "", "a..b", "x" * 64) == [[], [], []]
        assert len(server.queries) == 2


def test_many_at_once_over_a_short_queue(reactor: Reactor) -> None:
    """A datagram socket of AF_UNIX has room for few messages (net.unix.max_dgram_qlen)."""
    names = [f"host-{n}.example" for n in range(200)]
    with Server(lambda query: [answer(query)], socket.AF_UNIX) as server:
        assert look_up(stub_of(reactor, server), *names) == [BOTH] * 200
        assert len(server.queries) == 400
