"""Forwarding queries to other DNS servers: the upstreams of one DNS server of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from cgtproxy.config.model import Dns, DnsUpstream
from cgtproxy.proxy.dns.answers import Forward
from cgtproxy.proxy.dns.clients import AskError, Client, StreamClient, UdpClient
from cgtproxy.proxy.dns.dial import DirectRoute, Route
from cgtproxy.proxy.dns.failover_client import FailoverClient
from cgtproxy.proxy.dns.fair_limiter import FairLimiter
from cgtproxy.proxy.dns.system import System
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.dns import HEADER
from cgtproxy.proxy.upstreams.tls import client_context

MAX_WAITING = 1000  # queries that wait for their answers
_TIMEOUT = 8.0  # seconds, for all upstreams of a query together


class _Question(NamedTuple):
    """What an answer depends on; the rest of a query only tells one client from another."""

    flags: bytes
    name: str
    rrtype: int
    class_: int
    dnssec_ok: bool | None  # None without EDNS
    excluded: bool


class Forwarder:
    """Asks the servers of `upstream` by `route`, those of `exclude-upstream` directly.

    Equal queries share one question. A client waits for at most its share of MAX_WAITING answers.
    """

    def __init__(self, dns: Dns, route: Route, system: System, mark: int, throttle: Throttle):
        def client(upstreams: Iterable[DnsUpstream], route: Route) -> FailoverClient:
            clients = {str(u): _client(u, route, system, mark) for u in upstreams}
            return FailoverClient(clients, throttle)

        self._throttle = throttle
        self._upstream = client(dns.upstreams, route)
        self._exclude_upstream = client(dns.exclude_upstreams, system.direct)
        self._asking: dict[_Question, asyncio.Task[bytes]] = {}
        self._waiting = FairLimiter(MAX_WAITING)

    async def answer(self, forward: Forward, client: str, *, udp: bool) -> bytes:
        """The reply for a client (its address as text); SERVFAIL if no upstream has answered."""
        if not self._waiting.try_acquire(client):
            usage = self._waiting.usage(client)
            self._throttle.warning("DNS queries are refused", f"{usage} wait for upstreams already")
            return forward.failure()
        asking = self._ask(forward)
        # A client that has stopped waiting holds its permit until then: the work goes on.
        asking.add_done_callback(lambda _: self._waiting.release(client))
        try:
            answer = await asyncio.shield(asking)
        except AskError:  # has been logged
            return forward.failure()
        except TimeoutError:
            self._throttle.warning("no DNS upstream answered", f"within {_TIMEOUT:g} seconds")
            return forward.failure()
        return forward.fit(_with_question(answer, forward), udp=udp)

    def _ask(self, forward: Forward) -> asyncio.Task[bytes]:
        """The task for a question, which those who ask it at the same time share.

        So there is no loop where the upstream is a resolver on this computer whose own queries are
        redirected to us: they wait for themselves, and time out.
        """
        question = _question(forward)
        if not (asking := self._asking.get(question)):
            asking = asyncio.create_task(self._ask_upstreams(forward))
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question))
        return asking

    async def _ask_upstreams(self, forward: Forward) -> bytes:
        async with asyncio.timeout(_TIMEOUT):
            client = self._exclude_upstream if forward.excluded else self._upstream
            return await client.ask(forward.data)


def _client(upstream: DnsUpstream, route: Route, system: System, mark: int) -> Client:
    host, port = upstream.host, upstream.port
    if upstream.scheme == "system":
        return system
    if upstream.scheme == "https":
        from cgtproxy.proxy.dns.doh import HttpsClient

        return HttpsClient(route, host, port, upstream.path, client_context(""))
    if upstream.scheme == "tls":
        return StreamClient(route, host, port, client_context(""))
    tcp = StreamClient(route, host, port)
    if upstream.scheme == "udp" and isinstance(route, DirectRoute):
        return UdpClient(host, port, mark, system.addresses, tcp)
    return tcp  # proxies are better at TCP, which all servers have to answer (RFC 7766)


def _question(forward: Forward) -> _Question:
    query = forward.query
    dnssec_ok = query.edns.dnssec_ok if query.edns else None
    flags = forward.data[2:4]
    return _Question(flags, query.name, query.rrtype, query.class_, dnssec_ok, forward.excluded)


def _with_question(answer: bytes, forward: Forward) -> bytes:
    """The answer with the client's own question: another may have written the name in other case,
    and clients compare it (draft-vixie-dnsext-dns0x20)."""
    question = forward.data[HEADER.size : forward.query.end]
    if answer[HEADER.size : forward.query.end].lower() != question.lower():
        return answer
    return answer[: HEADER.size] + question + answer[forward.query.end :]
