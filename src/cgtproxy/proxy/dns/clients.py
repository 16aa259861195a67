"""Clients of one DNS server: over UDP, TCP (RFC 7766) and TLS (RFC 7858).

Messages go as they are, but for their ids, so that what is not understood here is not lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Protocol

from cgtproxy.proxy.dns.dial import TIMEOUT, DialError, Resolve, Route, for_asyncio, reason
from cgtproxy.proxy.io.addresses import numeric
from cgtproxy.proxy.io.sockets import outgoing_datagrams
from cgtproxy.proxy.protocols.dns import TC, is_answer

_TIMEOUTS = (1.0, 2.0)  # seconds to wait for an answer, each time that a query is sent
_IDLE = 60.0  # seconds without an answer after which a connection is closed
MAX_MESSAGE = 65535  # bytes of a message


class AskError(Exception):
    """The server has given no answer; says why."""


class ClosedError(AskError):
    """The server has closed the connection."""


class Client(Protocol):
    """Whoever can be asked: one server, or several."""

    async def ask(self, query: bytes) -> bytes:
        """The answer to a well-formed query, with its id. Raises AskError."""


class UdpClient:
    """Asks over UDP, directly; where the answer is truncated, `tcp` is asked.

    `resolve` finds the addresses of `host`, which are tried in turn.
    """

    def __init__(self, host: str, port: int, mark: int, resolve: Resolve, tcp: Client) -> None:
        self._host, self._port = host, port
        self._mark = mark
        self._resolve = resolve
        self._tcp = tcp

    async def ask(self, query: bytes) -> bytes:
        """See Client."""
        failure = f"the name {self._host} is not found"
        for address in await self._resolve(self._host):
            try:
                answer = await self._ask(address, query)
            except OSError as error:
                failure = reason(error)
                continue
            if TC & int.from_bytes(answer[2:4], "big"):
                return await self._tcp.ask(query)
            return answer
        raise AskError(failure)

    async def _ask(self, address: str, query: bytes) -> bytes:
        """Each query has a port and an id of its own, which keeps guessed answers out (RFC 5452).

        Raises OSError.
        """
        family, destination = numeric(address, self._port)
        with for_asyncio(outgoing_datagrams(family, self._mark)) as sock:
            sock.connect(destination)
            sent = os.urandom(2) + query[2:]
            for timeout in _TIMEOUTS:
                sock.send(sent)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        return query[:2] + (await _matching(sock, sent))[2:]
        raise TimeoutError


async def _matching(sock: socket.socket, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        answer = await loop.sock_recv(sock, MAX_MESSAGE)
        if is_answer(query, answer):
            return answer


class StreamClient:
    """Asks over one connection, opened when it is needed by `route`; with `context` over TLS."""

    def __init__(
        self, route: Route, host: str, port: int, context: ssl.SSLContext | None = None
    ) -> None:
        self._route = route
        self._host, self._port = host, port
        self._context = context
        self._opening: asyncio.Task[_Connection] | None = None

    async def ask(self, query: bytes) -> bytes:
        """See Client."""
        used = self._connection is not None
        connection = await self._connected()
        try:
            return await connection.ask(query)
        except ClosedError:
            # Servers close what is idle, perhaps just when we ask (RFC 7766, section 6.2.4).
            if not used:
                raise
            return await (await self._connected()).ask(query)

    @property
    def _connection(self) -> _Connection | None:
        opening = self._opening
        if opening is None or not opening.done() or opening.cancelled() or opening.exception():
            return None
        return None if opening.result().closed else opening.result()

    async def _connected(self) -> _Connection:
        """The connection, opened if need be. Shielded: others may wait for the same one."""
        if self._opening is None or (self._opening.done() and not self._connection):
            self._opening = asyncio.create_task(self._open())
        try:
            return await asyncio.shield(self._opening)
        except (DialError, OSError, EOFError) as error:
            raise AskError(reason(error)) from error

    async def _open(self) -> _Connection:
        reader, writer = await self._route.open(self._host, self._port)
        if self._context:
            try:
                async with asyncio.timeout(TIMEOUT):
                    await writer.start_tls(self._context, server_hostname=self._host)
            except BaseException:
                writer.transport.abort()
                raise
        return _Connection(reader, writer)


class _Connection:
    """A connection with any number of queries on the way, answered in any order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[int, tuple[bytes, asyncio.Future[bytes]]] = {}
        self._next_id = 0
        self._answers = 0
        self.closed = False
        self._task = asyncio.create_task(self._read())

    async def ask(self, query: bytes) -> bytes:
        if self.closed:
            raise ClosedError("it closed the connection")
        number = self._next_id = (self._next_id + 1) & 0xFFFF
        sent = number.to_bytes(2, "big") + query[2:]
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = sent, future
        answers = self._answers
        try:
            self._writer.write(len(sent).to_bytes(2, "big") + sent)
            async with asyncio.timeout(TIMEOUT):
                return query[:2] + (await future)[2:]
        except TimeoutError as error:
            if self._answers == answers:  # nothing comes any more: perhaps the way is dead
                self._task.cancel()
            raise AskError(reason(error)) from error
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE):
                    length = int.from_bytes(await self._reader.readexactly(2), "big")
                    answer = await self._reader.readexactly(length)
                sent, future = self._waiting.get(int.from_bytes(answer[:2], "big"), (b"", None))
                if future and not future.done() and is_answer(sent, answer):
                    self._answers += 1
                    future.set_result(answer)
        except (OSError, EOFError):
            pass
        finally:
            self.closed = True
            self._writer.transport.abort()
            for _, future in self._waiting.values():
                if not future.done():
                    future.set_exception(ClosedError("it closed the connection"))
