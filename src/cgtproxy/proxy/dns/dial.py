"""TCP connections to DNS servers, through a TPROXY's upstreams or directly, by asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.addresses import SocketAddress, numeric
from cgtproxy.proxy.io.sockets import Socket, outgoing
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.handshake import Handshake, HandshakeError, HostPort, UnusableError
from cgtproxy.proxy.upstreams.failover import (
    OUTCOMES,
    Command,
    Connect,
    Failed,
    Failover,
    GoDirect,
    MarkDown,
    Outcome,
    Refuse,
)
from cgtproxy.proxy.upstreams.schemes import connect_handshake
from cgtproxy.proxy.upstreams.selection import UpstreamSelector
from cgtproxy.proxy.upstreams.tls import client_context

TIMEOUT = 3.0  # seconds for one address, or one upstream with its handshake
_READ = 4096

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]


class DialError(Exception):
    """There is no connection; says why."""


class Route(Protocol):
    """A way to a DNS server: directly, or through a TPROXY's upstreams."""

    async def open(self, host: str, port: int) -> Stream:
        """Connect to the server at `host`, which may be a name. Raises DialError."""


class DirectRoute:
    """Connects directly. `resolve` finds a name's addresses, and returns an address as it is."""

    def __init__(self, mark: int, resolve: Resolve) -> None:
        self._mark = mark
        self._resolve = resolve

    async def open(self, host: str, port: int) -> Stream:
        """Connect to the first address that takes the connection. Raises DialError."""
        failure = f"the name {host} is not found"
        for address in await self._resolve(host):
            try:
                target = numeric(address, port)
                sock = for_asyncio(outgoing(target.family, self._mark))
                async with asyncio.timeout(TIMEOUT):
                    return await _connect(sock, target)
            except OSError as error:  # TimeoutError is one
                failure = reason(error)
        raise DialError(failure)


class ProxyRoute:
    """Connects through the upstreams of `selector`, whose addresses are in `targets`.

    Where fail-over says that the connection goes directly, it takes the route `direct`.
    """

    def __init__(
        self,
        selector: UpstreamSelector,
        targets: Mapping[Upstream, Sequence[SocketAddress]],
        mark: int,
        direct: DirectRoute,
        throttle: Throttle,
    ) -> None:
        self._selector = selector
        self._targets = targets
        self._mark = mark
        self._direct = direct
        self._throttle = throttle
        self._contexts = {u: client_context(u.ca_file) for u in targets if u.scheme.tls}

    async def open(self, host: str, port: int) -> Stream:
        """Connect through the first upstream that gets there. Raises DialError."""
        failover = Failover(self._selector.server, self._selector.candidates())
        commands: list[Command] = [*failover.start()]
        while True:
            match commands.pop(0):
                case Connect(upstream):
                    end = await self._connect(upstream, HostPort(host.partition("%")[0], port))
                    if not isinstance(end, Failed):
                        return end
                    if end.outcome is not Outcome.REFUSED_BY_DESTINATION:
                        self._throttle.warning(f"{upstream} failed", end.reason)
                    commands += failover.failed(end)
                case MarkDown(upstream):
                    self._selector.failed(upstream)
                case GoDirect():
                    return await self._direct.open(host, port)
                case Refuse(reason):
                    raise DialError(reason)

    async def _connect(self, upstream: Upstream, server: HostPort) -> Stream | Failed:
        """Try the upstream's addresses in order; the last failure counts."""
        end = Failed(Outcome.UNREACHABLE, f"the name {upstream.host} is not found")
        for target in self._targets[upstream]:
            try:
                sock = for_asyncio(outgoing(target.family, self._mark))
            except OSError as error:
                return Failed(Outcome.OUT_OF_DESCRIPTORS, reason(error))
            handshake = connect_handshake(upstream, server)
            try:
                async with asyncio.timeout(TIMEOUT):
                    return await self._hand_over(upstream, handshake, sock, target)
            except HandshakeError as error:
                end = Failed(OUTCOMES[type(error)], str(error))
            except (OSError, EOFError) as error:
                silent = handshake.asked
                end = Failed(Outcome.SILENT if silent else Outcome.UNREACHABLE, reason(error))
            if end.outcome is not Outcome.UNREACHABLE:
                break
        return end

    async def _hand_over(
        self, upstream: Upstream, handshake: Handshake, sock: socket.socket, target: SocketAddress
    ) -> Stream:
        reader, writer = await _connect(sock, target)
        try:
            if context := self._contexts.get(upstream):
                await writer.start_tls(context, server_hostname=upstream.host)
            await _shake_hands(reader, writer, handshake)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer


def for_asyncio(sock: Socket) -> socket.socket:
    """The same socket as asyncio wants it."""
    return socket.socket(sock.family, sock.type, sock.proto, sock.detach())


async def _connect(sock: socket.socket, target: SocketAddress) -> Stream:
    try:
        await asyncio.get_running_loop().sock_connect(sock, target.address)
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def _shake_hands(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handshake: Handshake
) -> None:
    answer = handshake.start()
    while True:
        writer.write(answer)
        if handshake.done:
            break
        data = await reader.read(_READ)
        if not data:
            raise EOFError("it closed the connection")
        answer = handshake.receive(data)
    if handshake.rest:  # with TLS as with DNS, the client speaks first
        raise UnusableError("it sent something before it was asked")


def reason(error: Exception) -> str:
    """Why a connection failed, for the log: the text of an OSError, EOFError or HandshakeError."""
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or error.reason or "TLS failed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio has put in something else
    return str(error) or "it failed"
