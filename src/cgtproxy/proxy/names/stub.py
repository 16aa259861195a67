"""A stub resolver on the reactor (RFC 1034, section 5.3.1): addresses of names, by DNS."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from cgtproxy.proxy.io.addresses import AF_INET, AF_INET6, Address, is_address
from cgtproxy.proxy.io.reactor import WRITABLE, Reactor
from cgtproxy.proxy.io.sockets import Socket, outgoing_datagrams
from cgtproxy.proxy.protocols.dns import (
    AAAA,
    NOERROR,
    NXDOMAIN,
    A,
    Addresses,
    MalformedError,
    build_query,
    parse_addresses,
)

Done: TypeAlias = Callable[[list[str]], None]  # gets the addresses, as text
Server: TypeAlias = tuple[int, Address | bytes | str]  # family and address

_TIMEOUT = 2.0  # seconds without an answer after which the next server is asked, or the only one
_MAX_ATTEMPTS = 5
_SECOND_ANSWER = 0.3  # seconds to wait for it where the first has addresses
_MAX_CACHED = 1024  # names
_MAX_TTL = 300  # seconds in the cache
_READ = 65535
_FAMILIES = {A: AF_INET, AAAA: AF_INET6}
_AF_UNIX = int(socket.AF_UNIX)


class Stub:
    """Looks up A and AAAA, with a cache. `mark` is that of its sockets.

    `servers` returns, for each look-up, who may be asked, over UDP or AF_UNIX; `known` the
    addresses of a name for which nobody need be asked, such as those in the hosts file.
    """

    def __init__(
        self,
        reactor: Reactor,
        servers: Callable[[], Sequence[Server]],
        mark: int,
        known: Callable[[str], list[str]] = lambda _: [],
    ) -> None:
        self.reactor = reactor
        self.servers = servers
        self.mark = mark
        self._known = known
        self._pending: dict[str, _LookUp] = {}
        self._cache: dict[str, tuple[float, list[str]]] = {}  # until when, in the order of asking

    def look_up(self, name: str, done: Done) -> None:
        """Call `done` once, with the addresses of `name` as text, A first; an address is its own.

        There are none for a name that has none, or that cannot be looked up now. `done` is never
        called from here, but by Reactor.soon(), where sockets may be made.
        """
        name = name.lower().rstrip(".")
        if known := self._recall(name):
            self.reactor.soon(lambda: done(known))
        elif name in self._pending:
            self._pending[name].waiting.append(done)
        else:
            self._pending[name] = look_up = _LookUp(self, name)
            look_up.waiting.append(done)
            self.reactor.soon(look_up.ask)

    def _recall(self, name: str) -> list[str]:
        if is_address(name):
            return [name]
        if known := self._known(name):
            return known
        until, addresses = self._cache.get(name, (0.0, []))
        return addresses if time.monotonic() < until else []

    def ended(self, look_up: _LookUp, addresses: list[str], ttl: int) -> None:
        """Take the result of a look-up; a `ttl` of 0 is not to be cached."""
        del self._pending[look_up.name]
        self._cache.pop(look_up.name, None)
        if ttl:
            until = time.monotonic() + min(ttl, _MAX_TTL)
            self._cache[look_up.name] = until, addresses
            if len(self._cache) > _MAX_CACHED:
                del self._cache[next(iter(self._cache))]
        for done in look_up.waiting:
            self.reactor.soon(partial(done, addresses))
        look_up.waiting.clear()  # a timer still knows the look-up


class _LookUp:
    """Both questions about one name, asked of one server after the other.

    The first answer to each question counts, also that of a server that was given up.
    """

    def __init__(self, stub: Stub, name: str) -> None:
        self.name = name
        self.waiting: list[Done] = []
        self.found: dict[int, Addresses] = {}  # by rrtype
        self.stub = stub
        self._servers = list(stub.servers())  # without those that have failed
        self._attempts = 0
        self._exchanges: list[_Exchange] = []
        self._over = False

    def ask(self) -> None:
        if self._over:
            return
        if not self._servers or self._attempts == _MAX_ATTEMPTS:
            self._end()
            return
        server = self._servers[self._attempts % len(self._servers)]
        self._attempts += 1
        try:
            self._exchanges.append(_Exchange(self, server))
        except ValueError:  # no host's name
            self._end()
        except OSError:
            self.failed(server)
        else:
            self.stub.reactor.after(_TIMEOUT, partial(self._ask_again, self._attempts))

    def _ask_again(self, attempts: int) -> None:
        if attempts == self._attempts:
            self.ask()

    def failed(self, server: Server) -> None:
        if server in self._servers:
            self._servers.remove(server)
            self.stub.reactor.soon(self.ask)

    def answered(self, rrtype: int, answer: Addresses) -> None:
        if self._over:
            return
        first = not self.found
        self.found[rrtype] = answer
        if len(self.found) == len(_FAMILIES):
            self._end()
        elif first and answer.found:
            self.stub.reactor.after(_SECOND_ANSWER, self._end)

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        for exchange in self._exchanges:
            exchange.close()
        self._exchanges.clear()  # they know this one: a cycle
        addresses = [
            socket.inet_ntop(_FAMILIES[rrtype], packed)
            for rrtype, answer in sorted(self.found.items())
            for packed in answer.found
        ]
        ttls = [answer.ttl for answer in self.found.values() if answer.found]
        complete = addresses and len(self.found) == len(_FAMILIES)
        self.stub.ended(self, addresses, min(ttls) if complete else 0)


class _Exchange:
    """The questions to one server, from a port and with ids that others cannot guess (RFC 5452)."""

    def __init__(self, look_up: _LookUp, server: Server) -> None:
        self._look_up = look_up
        self._server = server
        self._reactor = look_up.stub.reactor
        missing = [rrtype for rrtype in _FAMILIES if rrtype not in look_up.found]
        self._refused = False
        # By rrtype: those that are not answered yet.
        self._queries = {rrtype: build_query(_new_id(), look_up.name, rrtype) for rrtype in missing}
        self._unsent = list(self._queries.values())
        family, address = server
        self._sock: Socket | None = outgoing_datagrams(family, look_up.stub.mark)
        try:
            if family == _AF_UNIX:
                self._sock.bind("")  # to any free address (unix(7), autobind), to be answered at
            self._sock.connect(address)
        except OSError:
            self._sock.close()
            raise
        self._reactor.register(self._sock.fileno(), self._on_event)

    def _on_event(self, mask: int) -> None:
        try:
            if mask & WRITABLE:
                self._send()
            self._receive()
        except OSError:
            self._fail()

    def _send(self) -> None:
        assert self._sock
        with contextlib.suppress(BlockingIOError):  # a full queue, of which we are told the end
            while self._unsent:
                self._sock.send(self._unsent[0])
                del self._unsent[0]

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._sock:
                self._take(self._sock.recv(_READ))

    def _take(self, data: bytes) -> None:
        for rrtype, query in list(self._queries.items()):
            try:
                answer = parse_addresses(query, data)
            except MalformedError:
                continue
            del self._queries[rrtype]
            if answer.rcode in (NOERROR, NXDOMAIN):
                self._look_up.answered(rrtype, answer)
            else:
                self._refused = True
        if self._refused and not self._queries:
            self._fail()

    def _fail(self) -> None:
        self.close()
        self._look_up.failed(self._server)

    def close(self) -> None:
        if self._sock:
            self._reactor.drop(self._sock.fileno())
            self._sock.close()
            self._sock = None


def _new_id() -> int:
    """One that others cannot guess (RFC 5452, section 9.2)."""
    return int.from_bytes(os.urandom(2), "big")
