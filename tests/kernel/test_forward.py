"""What is asked of other DNS servers, and of which: with servers of any manners."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from cgtproxy.config.model import Dns, DnsUpstream
from cgtproxy.proxy.dns.answers import Answers, Forward
from cgtproxy.proxy.dns.forward import MAX_WAITING, Forwarder
from cgtproxy.proxy.dns.system import System
from cgtproxy.proxy.io.throttle import Throttle

MARK = 0x2C9
HOST, PORT = "127.0.0.1", 5311


# From a query, and whether it came by TCP, to the messages that answer it; None: hang up.
Behave: TypeAlias = Callable[[dns.message.Message, bool], Sequence[bytes] | None]


class Server(asyncio.DatagramProtocol):
    """`behave(query, tcp)` tells the messages that answer a query; None ends the connection."""

    def __init__(self, behave: Behave, port: int = PORT) -> None:
        self.behave = behave
        self.port = port
        self.queries: list[dns.message.Message] = []
        self.connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport  # a DatagramTransport, which it does not say

    def datagram_received(self, data: bytes, peer: Any) -> None:
        for answer in self._answers(data, tcp=False) or ():
            self.transport.sendto(answer, peer)

    def _answers(self, data: bytes, tcp: bool) -> Sequence[bytes] | None:
        query = dns.message.from_wire(data)
        self.queries.append(query)
        return self.behave(query, tcp)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                answers = self._answers(data, tcp=True)
                if answers is None:
                    break
                for answer in answers:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, self.port))
        self._tcp = await asyncio.start_server(self._converse, HOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        self._tcp.close()


def reply(
    query: dns.message.Message,
    *addresses: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    flags: int = 0,
) -> bytes:
    answer = dns.message.make_response(query)
    answer.set_rcode(rcode)
    answer.flags |= flags
    if addresses:
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses))
    return answer.to_wire()


def asking(*upstreams: tuple[Any, int]) -> Any:
    """A forwarder, and what makes the queries that it is to forward."""
    settings = Dns((), tuple(DnsUpstream(scheme, HOST, port) for scheme, port in upstreams))
    throttle = Throttle()
    system = System(MARK, throttle)
    forwarder = Forwarder(settings, system.direct, system, MARK, throttle)
    answers = Answers(settings, None, ipv6=True)

    async def ask(
        name: str = "www.example", *, client: str = "192.0.2.7", udp: bool = True, **options: Any
    ) -> Any:
        query = dns.message.make_query(name, "A", **options)
        forward = answers.answer(query.to_wire())
        assert isinstance(forward, Forward)
        answer = dns.message.from_wire(await forwarder.answer(forward, client, udp=udp))
        assert query.is_response(answer)
        assert query.question[0].name.labels == answer.question[0].name.labels
        return answer.rcode(), [str(record) for rrset in answer.answer for record in rrset]

    return ask


def found(*addresses: str) -> Any:
    return dns.rcode.NOERROR, list(addresses)


def good(query: dns.message.Message, tcp: bool) -> Any:
    return [reply(query, "192.0.2.1")]


GOOD = found("192.0.2.1")


def test_what_many_ask_is_asked_once_and_again_if_it_was_lost() -> None:
    """So a stub resolver on this computer whose own questions come to us waits for itself."""

    async def main() -> None:
        server = Server(lambda query, tcp: good(query, tcp) if server.queries[1:] else [])
        async with server:
            ask = asking(("udp", PORT))
            names = ["www.example", "WWW.Example"] * 20
            assert await asyncio.gather(*(ask(name) for name in names)) == [GOOD] * 40
        assert len(server.queries) == 2

    asyncio.run(main())


def test_other_kinds_of_clients_get_answers_of_their_own() -> None:
    async def main() -> None:
        async with Server(good) as server:
            ask = asking(("udp", PORT))
            await asyncio.gather(ask(), ask(use_edns=0), ask(want_dnssec=True), ask("b.example"))
            assert len(server.queries) == 4

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_others_answers_are_not_taken(scheme: str) -> None:
    def behave(query: dns.message.Message, tcp: bool) -> Any:
        lie = dns.message.make_query("other.example", "A", id=query.id)
        guess = dns.message.make_query(query.question[0].name, "A", id=query.id ^ 1)
        bad = [b"", b"x" * 20, reply(lie, "192.0.2.9"), reply(guess, "192.0.2.9")]
        return [*bad, *good(query, tcp)]

    async def main() -> None:
        async with Server(behave):
            assert await asking((scheme, PORT))() == GOOD

    asyncio.run(main())


def test_what_a_datagram_has_no_room_for_is_asked_by_tcp() -> None:
    async def main() -> None:
        async with Server(
            lambda query, tcp: good(query, tcp) if tcp else [reply(query, flags=dns.flags.TC)]
        ):
            assert await asking(("udp", PORT))() == GOOD

    asyncio.run(main())


def test_many_questions_go_by_one_connection() -> None:
    held: list[bytes] = []

    def behave(query: dns.message.Message, tcp: bool) -> Any:
        held[:0] = good(query, tcp)
        return held if len(held) == 50 else []

    async def main() -> None:
        async with Server(behave) as server:
            ask = asking(("tcp", PORT))
            names = [f"www{number}.example" for number in range(50)]
            assert await asyncio.gather(*map(ask, names)) == [GOOD] * 50
            assert server.connections == 1

    asyncio.run(main())


def test_a_connection_that_the_server_closes_is_opened_again() -> None:
    def behave(query: dns.message.Message, tcp: bool) -> Any:
        return (
            None
            if tcp and query.question[0].name.to_text() == "last.example."
            else good(query, tcp)
        )

    async def main() -> None:
        async with Server(behave) as server:
            ask = asking(("tcp", PORT))
            for number in range(5):
                assert await ask() == GOOD
                # It closes when asked for this: once on the connection of before, once on a new.
                assert (await ask("last.example"))[0] == dns.rcode.SERVFAIL
                assert server.connections == 2 * (number + 1)

    asyncio.run(main())


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_a_server_that_cannot_tell_is_no_reason_to_fail(rcode: dns.rcode.Rcode) -> None:
    def behave(query: dns.message.Message, tcp: bool) -> Any:
        return [reply(query, rcode=rcode)]

    async def main() -> None:
        async with Server(behave) as first, Server(good, PORT + 1) as second:
            ask = asking(("udp", PORT), ("udp", PORT + 1))
            for _ in range(2):
                assert await ask() == GOOD
            assert (len(first.queries), len(second.queries)) == (2, 2)
            second.behave = behave
            assert await ask() == (rcode, [])

    asyncio.run(main())


def test_who_has_failed_is_asked_after_the_others() -> None:
    async def main() -> None:
        async with Server(lambda query, tcp: None) as first, Server(good, PORT + 1):
            ask = asking(("tcp", PORT), ("udp", PORT + 1))
            assert [await ask() for _ in range(3)] == [GOOD] * 3
            assert first.connections == 1

    asyncio.run(main())


def test_too_many_questions_are_refused_at_once_also_of_those_who_do_not_wait() -> None:
    async def main() -> None:
        async with Server(lambda query, tcp: []):
            ask = asking(("tcp", PORT))
            tasks = [
                asyncio.create_task(ask(f"www{n}.example")) for n in range(MAX_WAITING // 2 + 1)
            ]
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result()[0] for task in done] == [dns.rcode.SERVFAIL]
            assert len(others) == MAX_WAITING // 2
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            assert (await ask("another.example"))[0] == dns.rcode.SERVFAIL

    asyncio.run(main())


def test_answers_make_room_for_questions() -> None:
    async def main() -> None:
        async with Server(good):
            ask = asking(("udp", PORT))
            for batch in range(3):
                names = [f"www{batch}-{number}.example" for number in range(MAX_WAITING // 2)]
                assert await asyncio.gather(*map(ask, names)) == [GOOD] * len(names)

    asyncio.run(main())
