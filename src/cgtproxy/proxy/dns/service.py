"""Serving DNS: UDP in batches, TCP (RFC 7766), and UNIX datagrams from our own workers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from typing import Any

from cgtproxy.proxy.dns.answers import Answers, Forward
from cgtproxy.proxy.dns.batches import SIZE, Batches, Envelope
from cgtproxy.proxy.dns.fair_limiter import FairLimiter
from cgtproxy.proxy.dns.forward import Forwarder
from cgtproxy.proxy.io.mmsg import BATCH
from cgtproxy.proxy.io.throttle import Throttle

MAX_CONNECTIONS = 500  # of all clients
_WORKERS = "our workers"  # count as one client, as each of them asks for all of its clients
_MAX_PIPELINED = 100  # queries of one connection that wait for others' answers
_IDLE = 10.0  # seconds until a connection is closed that asks nothing, or does not read
_READ_AHEAD = 4096  # bytes of one connection
_BATCHES = 16  # in a row, before other sockets get their turn
_MAX_MESSAGE = 65535  # bytes


class Service:
    """One DNS server: `answers` replies, or says what `forwarder` is to ask others.

    Made and used within a running event loop. `batches` may be shared.
    """

    def __init__(
        self, answers: Answers, forwarder: Forwarder, batches: Batches, throttle: Throttle
    ) -> None:
        self._answers = answers
        self._forwarder = forwarder
        self._batches = batches
        self._throttle = throttle
        self._loop = asyncio.get_running_loop()
        self._sources: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = FairLimiter(MAX_CONNECTIONS)

    def serve_datagrams(self, sock: socket.socket) -> None:
        """Answer on a UDP socket."""
        self._sources.append(sock)
        self._loop.add_reader(sock, self._receive_batches, sock.fileno())

    def serve_workers(self, sock: socket.socket) -> None:
        """Answer our workers on a UNIX datagram socket."""
        self._sources.append(sock)
        self._loop.add_reader(sock, self._receive, sock)

    async def serve_streams(self, sock: socket.socket) -> None:
        """Answer on a listening TCP socket."""
        await asyncio.start_server(self._converse, sock=sock, limit=_READ_AHEAD)

    def stop(self) -> None:
        """Receive no more datagrams: they wait in the sockets for the next resolver."""
        for sock in self._sources:
            self._loop.remove_reader(sock)

    async def finish(self) -> None:
        """Wait for the replies that others' answers are still needed for."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _receive_batches(self, fd: int) -> None:
        for _ in range(_BATCHES):
            if self._receive_batch(fd) < BATCH:
                return

    def _receive_batch(self, fd: int) -> int:
        batches, view, answer = self._batches, self._batches.view, self._answers.answer
        sizes = batches.receive(fd)
        first = start = 0  # the first answer that is not sent yet; where a query begins
        for number, size in enumerate(sizes):
            reply = answer(bytes(view[start : start + size]))
            start += SIZE
            if isinstance(reply, bytes):
                batches.put(number, reply)
                continue
            batches.send(fd, first, number)
            first = number + 1
            if reply:
                self._start(self._answer_later(fd, batches.envelope(number), reply))
        batches.send(fd, first, len(sizes))
        return len(sizes)

    async def _answer_later(self, fd: int, envelope: Envelope, forward: Forward) -> None:
        answer = await self._forwarder.answer(forward, envelope.host, udp=True)
        self._batches.send_later(fd, envelope, answer)

    def _receive(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, client = sock.recvfrom(_MAX_MESSAGE)
            except OSError:
                return
            if client:  # otherwise it has no address to answer to
                self._start(self._answer_worker(sock, client, self._answers.answer(data)))

    async def _answer_worker(
        self, sock: socket.socket, client: Any, reply: bytes | Forward | None
    ) -> None:
        if isinstance(reply, Forward):
            reply = await self._forwarder.answer(reply, _WORKERS, udp=False)
        with contextlib.suppress(OSError):  # it has gone, or does not read
            sock.sendto(reply or b"", client)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0].partition("%")[0]  # as Envelope.host
        if not self._connections.try_acquire(client):
            usage = self._connections.usage(client)
            self._throttle.warning("DNS over TCP is refused", f"{usage} are open already")
            writer.transport.abort()
            return
        try:
            await _Conversation(self._answers, self._forwarder, client, reader, writer).run()
        finally:
            self._connections.release(client)
            writer.transport.abort()


class _Conversation:
    """One connection. Queries are answered as soon as they can be, in any order (RFC 7766,
    section 7)."""

    def __init__(
        self,
        answers: Answers,
        forwarder: Forwarder,
        client: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._answers = answers
        self._forwarder = forwarder
        self._client = client
        self._reader, self._writer = reader, writer
        self._room = asyncio.Semaphore(_MAX_PIPELINED)
        writer.transport.set_write_buffer_limits(0)  # drain() means that the kernel has all

    async def run(self) -> None:
        """Until the client closes it, is silent for long, does not read, or sends nonsense."""
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as tasks:
                while data := await self._read():
                    reply = self._answers.answer(data)
                    if reply is None:
                        return
                    if isinstance(reply, Forward):
                        await self._room.acquire()
                        tasks.create_task(self._answer_later(reply))
                    else:
                        await self._write(reply)

    async def _answer_later(self, forward: Forward) -> None:
        try:
            await self._write(await self._forwarder.answer(forward, self._client, udp=False))
        finally:
            self._room.release()

    async def _read(self) -> bytes:
        """The next query; b"" at the end, after which the client may still read replies."""
        try:
            async with asyncio.timeout(_IDLE):
                size = int.from_bytes(await self._reader.readexactly(2), "big")
                return await self._reader.readexactly(size)
        except (OSError, EOFError):
            return b""

    async def _write(self, answer: bytes) -> None:
        self._writer.write(len(answer).to_bytes(2, "big") + answer)
        async with asyncio.timeout(_IDLE):
            await self._writer.drain()
