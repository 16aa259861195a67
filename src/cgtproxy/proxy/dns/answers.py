"""Deciding what a query is answered with: fake-ip addresses, an error, or what others say.

No socket, clock or file is used here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Protocol

from cgtproxy.config.model import Dns
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.protocols.dns import (
    AAAA,
    ANY,
    BADVERS,
    FORMERR,
    HEADER,
    HTTPS,
    IN,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    SVCB,
    A,
    MalformedError,
    write_name,
)
from cgtproxy.proxy.protocols.dns_server import (
    Query,
    address_of_pointer,
    failure,
    is_query,
    opcode,
    parse_query,
    record,
    record_head,
    reply,
    truncate,
)

MAX_CACHED = 8192  # replies of one DNS server
MAX_CACHED_QUERY = 512  # bytes of a query whose reply is cached

# HTTPS and SVCB have hints of real addresses: who follows them goes past the fake-ip ones.
_FAKE_IP_TYPES = frozenset((A, AAAA, ANY, HTTPS, SVCB))
# No last label begins with a digit. A resolver at the far end takes 127.1 and 0x7f.1 for addresses
# (inet_aton(3)), and would connect to itself.
_HOST = re.compile(r"[a-z0-9_.-]*\.[a-z_-][a-z0-9_-]*")
_LOOPBACK = {A: b"\x7f\0\0\1", AAAA: bytes(15) + b"\1"}


class Names(Protocol):
    """What Answers needs of a fake-ip pool (`fakeip.pool.Pool`)."""

    @property
    def ranges(self) -> Ranges:
        """The pool's networks."""

    def slot_for(self, name: str) -> int | None:
        """The name's slot, its own or a new one, from now on in use; None if all are in use."""

    def name(self, slot: int) -> str:
        """The slot's name; "" if it has none, as slot 0."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A query for other servers: those of `exclude-upstream` if it is `excluded`, or `upstream`."""

    data: bytes
    query: Query
    excluded: bool

    def failure(self) -> bytes:
        """The reply when none of them has answered: SERVFAIL."""
        return reply(self.data, self.query, SERVFAIL)

    def fit(self, answer: bytes, *, udp: bool) -> bytes:
        """Their answer as the client gets it: with its id, and truncated if it is too long for a
        datagram. What is no message becomes SERVFAIL."""
        if len(answer) < HEADER.size:
            return self.failure()
        if udp and len(answer) > self.query.udp_size:
            return truncate(answer, self.data, self.query)
        return self.data[:2] + answer[2:]


class Answers:
    """The answers of one DNS server. Without `names` it has no fake-ip, and forwards all.

    Without `ipv6` no name has an IPv6 address.
    """

    def __init__(self, dns: Dns, names: Names | None, ipv6: bool) -> None:
        self._names = names
        self._ttl = dns.ttl
        self._heads = {
            rrtype: record_head(rrtype, dns.ttl, len(_LOOPBACK[rrtype])) for rrtype in (A, AAAA)
        }
        self._ipv6 = ipv6
        patterns = [translate(pattern.lower()) for pattern in dns.exclude]
        self._excluded = re.compile("|".join(patterns) or r"(?!)").match
        # By query without its id: name, slot (0 if the reply has no address), reply without its id.
        self._cache: dict[bytes, tuple[str, int, bytes]] = {}

    def answer(self, data: bytes) -> bytes | Forward | None:
        """The reply to a message, or that it is to be forwarded; None for what gets no reply."""
        if cached := self._cache.get(data[2:]):
            name, slot, tail = cached
            # The slot may have got another name since.
            if not slot or (self._names and self._names.slot_for(name) == slot):
                return data[:2] + tail
        if not is_query(data):
            return None
        if opcode(data):
            return failure(data, NOTIMP)
        try:
            query = parse_query(data)
        except MalformedError:
            return failure(data, FORMERR)
        if query.edns and query.edns.version:
            return reply(data, query, BADVERS)
        if query.class_ != IN:
            return reply(data, query, REFUSED)
        return self._decide(data, query)

    def _decide(self, data: bytes, query: Query) -> bytes | Forward:
        name, rrtype = query.name, query.rrtype
        if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
            loopback = (
                head + _LOOPBACK[k] for k, head in self._heads.items() if rrtype in (k, ANY)
            )
            return reply(data, query, NOERROR, *loopback)
        names = self._names
        if names and rrtype == PTR and (address := address_of_pointer(name)):
            slot = names.ranges.slot_of(address)
            if slot is not None:
                return self._pointer(data, query, names.name(slot))
        excluded = bool(name) and ("." not in name or self._excluded(name) is not None)
        if excluded or not names or not name or rrtype not in _FAKE_IP_TYPES:
            return Forward(data, query, excluded)
        if not _HOST.fullmatch(name):
            return reply(data, query, NXDOMAIN)
        if rrtype in (HTTPS, SVCB) or (rrtype == AAAA and not self._ipv6):
            return self._remember(data, reply(data, query), name, 0)
        return self._fake_ip(data, query, names)

    def _fake_ip(self, data: bytes, query: Query, names: Names) -> bytes:
        slot = names.slot_for(query.name)
        if slot is None:
            return reply(data, query, SERVFAIL)
        records = {A: [self._heads[A] + names.ranges.address(slot)], AAAA: []}
        if self._ipv6:
            records[AAAA].append(self._heads[AAAA] + names.ranges.address6(slot))
        if query.rrtype == ANY:
            return reply(data, query, NOERROR, *records[A], *records[AAAA])
        # Programs ask for both types, so the other reply is cached, too.
        before, after = data[: query.end - 4], data[query.end - 2 :]
        replies = {}
        for rrtype, made in records.items():
            asked = b"%b\0%c%b" % (before, rrtype, after)
            replies[rrtype] = reply(asked, query, NOERROR, *made)
            self._remember(asked, replies[rrtype], query.name, slot)
        return replies[query.rrtype]

    def _pointer(self, data: bytes, query: Query, name: str) -> bytes:
        if not name:
            return reply(data, query, NXDOMAIN)
        return reply(data, query, NOERROR, record(PTR, self._ttl, write_name(name)))

    def _remember(self, data: bytes, made: bytes, name: str, slot: int) -> bytes:
        if len(data) <= MAX_CACHED_QUERY:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[data[2:]] = name, slot, made[2:]
        return made
