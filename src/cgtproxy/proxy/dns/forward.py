"""Getting answers from elsewhere: the upstreams of one DNS server."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TypeAlias

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

MAX_WAITING = 1000  # questions that wait for their answers
_TIMEOUT = 8.0  # seconds, for all upstreams together

_Question: TypeAlias = tuple[object, ...]


class Forwarder:
    """`route` leads to the upstreams, unless they are excluded ones."""

    def __init__(self, dns: Dns, route: Route, system: System, mark: int, throttle: Throttle):
        to_client = partial(_client, system=system, mark=mark)
        self._throttle = throttle
        self._upstreams = {
            excluded: FailoverClient({str(u): to_client(u, way) for u in upstreams}, throttle)
            for excluded, upstreams, way in (
                (False, dns.upstreams, route),
                (True, dns.exclude_upstreams, system.direct),
            )
        }
        self._asking: dict[_Question, asyncio.Task[bytes]] = {}
        self._waiting = FairLimiter(MAX_WAITING)

    async def answer(self, forward: Forward, client: str, *, udp: bool) -> bytes:
        """What the client gets; SERVFAIL if there is no answer."""
        if not self._waiting.take(client):
            waiting = f"{self._waiting.holders(client)} wait for upstreams already"
            self._throttle.warning("DNS queries are refused", waiting)
            return forward.failure()
        asking = self._ask(forward)
        # What a client does not wait for any more costs as much until then.
        asking.add_done_callback(lambda _: self._waiting.give_back(client))
        try:
            answer = await asyncio.shield(asking)
        except AskError:  # has been told of
            return forward.failure()
        except TimeoutError:
            self._throttle.warning("no DNS upstream answers", f"in {_TIMEOUT:g} seconds")
            return forward.failure()
        return forward.fit(_with_question(answer, forward), udp=udp)

    def _ask(self, forward: Forward) -> asyncio.Task[bytes]:
        """Once, what many ask at a time. So there is no loop either where the upstream is a
        resolver on this computer whose own queries come to us: they wait for themselves."""
        question = _question(forward)
        if not (asking := self._asking.get(question)):
            asking = asyncio.create_task(self._ask_upstreams(forward))
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question))
        return asking

    async def _ask_upstreams(self, forward: Forward) -> bytes:
        async with asyncio.timeout(_TIMEOUT):
            return await self._upstreams[forward.excluded].ask(forward.data)


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
    """Equal for queries that have the same answer, but for what tells one client from another."""
    query = forward.query
    edns = query.edns and query.edns.dnssec_ok
    return forward.data[2:4], query.name, query.rrtype, query.class_, edns, forward.excluded


def _with_question(answer: bytes, forward: Forward) -> bytes:
    """In the letters, capital or small, in which this client has asked."""
    question = forward.data[HEADER.size : forward.query.end]
    if answer[HEADER.size : forward.query.end].lower() != question.lower():
        return answer
    return answer[: HEADER.size] + question + answer[forward.query.end :]
