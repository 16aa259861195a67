"""`system://`: hosts(5), then the DNS servers of resolv.conf(5), asked directly.

getaddrinfo(3) would not do: its sockets have no mark, so that a rule for all programs would send
its queries back here.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address

from cgtproxy.proxy.dns.clients import AskError, StreamClient, UdpClient
from cgtproxy.proxy.dns.dial import DirectRoute
from cgtproxy.proxy.dns.failover_client import FailoverClient
from cgtproxy.proxy.io.addresses import is_address
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.names import system
from cgtproxy.proxy.protocols.dns import (
    AAAA,
    NOERROR,
    PTR,
    A,
    build_query,
    parse_addresses,
    write_name,
)
from cgtproxy.proxy.protocols.dns_server import address_of_pointer, parse_query, record, reply

_PORT = 53
_TTL = 60  # seconds, of what the hosts file says
_MIN_TTL = 10.0  # seconds for which the addresses of a DNS server are remembered at least
_FAMILIES = {A: socket.AF_INET, AAAA: socket.AF_INET6}


class System:
    """The Client of `system://`; other clients find the addresses of their servers by it, too."""

    def __init__(self, mark: int, throttle: Throttle) -> None:
        self.direct = DirectRoute(mark, self.addresses)
        self._mark = mark
        self._throttle = throttle
        self._servers: list[str] = []
        self._failover = FailoverClient({}, throttle)
        self._cache: dict[str, tuple[float, list[str]]] = {}  # until when, by name

    async def ask(self, query: bytes) -> bytes:
        """See Client. What the hosts file knows is not asked of anybody."""
        return from_hosts(query) or await self._current().ask(query)

    async def addresses(self, host: str) -> Sequence[str]:
        """The addresses of `host`, as text: itself if it is one, none if it is not found now."""
        if is_address(host):
            return [host]
        if found := system.hosts(host):
            return found
        until, found = self._cache.get(host, (0.0, []))
        if time.monotonic() < until:
            return found
        answers = await asyncio.gather(*(self._look_up(host, rrtype) for rrtype in _FAMILIES))
        found = [address for _, addresses in answers for address in addresses]
        if found:
            ttl = min(ttl for ttl, addresses in answers if addresses)
            self._cache[host] = time.monotonic() + max(ttl, _MIN_TTL), found
        return found

    async def _look_up(self, host: str, rrtype: int) -> tuple[int, list[str]]:
        try:
            query = build_query(0, host, rrtype)
            _, found, ttl = parse_addresses(query, await self._current().ask(query))
        except (AskError, ValueError):  # a MalformedError is one
            return 0, []
        return ttl, [socket.inet_ntop(_FAMILIES[rrtype], packed) for packed in found]

    def _current(self) -> FailoverClient:
        servers = system.servers()
        if servers != self._servers:
            self._servers = servers
            clients = {server: self._client(server) for server in servers}
            self._failover = FailoverClient(clients, self._throttle)
        return self._failover

    def _client(self, server: str) -> UdpClient:
        tcp = StreamClient(self.direct, server, _PORT)
        return UdpClient(server, _PORT, self._mark, self.addresses, tcp)


def from_hosts(data: bytes) -> bytes | None:
    """The reply to a query for A, AAAA or PTR that the hosts file answers; None if it does not."""
    try:
        query = parse_query(data)
        if query.rrtype == PTR and (address := address_of_pointer(query.name)):
            known = system.names(str(ip_address(address)))
            found = [write_name(name) for name in known[:1]]
        elif query.rrtype in _FAMILIES:
            known = system.hosts(query.name)
            packed = [ip_address(text.partition("%")[0]).packed for text in known]
            found = [one for one in packed if len(one) == (4 if query.rrtype == A else 16)]
        else:
            return None
    except ValueError:  # no name; a MalformedError is one
        return None
    if not known:
        return None
    return reply(data, query, NOERROR, *(record(query.rrtype, _TTL, one) for one in found))
