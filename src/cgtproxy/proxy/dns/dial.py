"""TCP connections to DNS servers, through a TPROXY's upstreams or directly, by asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from cgtproxy.config.model import Upstream
from cgtproxy.config.schemes import DIRECT, DROP
from cgtproxy.proxy.io.addresses import SocketAddress, numeric
from cgtproxy.proxy.io.sockets import Socket, outgoing
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.handshake import Handshake, HandshakeError, RefusedError
from cgtproxy.proxy.protocols.socks5 import HostPort
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
    async def open(self, host: str, port: int) -> Stream:
        """Raises DialError. `host` may be a name."""


class DirectRoute:
    """`resolve` finds a name's addresses, and returns an address as it is."""

    def __init__(self, mark: int, resolve: Resolve) -> None:
        self._mark = mark
        self._resolve = resolve

    async def open(self, host: str, port: int) -> Stream:
        failure = f"the name {host} is not found"
        for address in await self._resolve(host):
            try:
                async with asyncio.timeout(TIMEOUT):
                    return await _connect(numeric(address, port), self._mark)
            except OSError as error:  # TimeoutError is one
                failure = reason(error)
        raise DialError(failure)


class ProxyRoute:
    """`targets` are the addresses of the upstreams that `choice` may tell."""

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
        failure = "no upstream takes it"
        for upstream in self._selector.candidates():
            if upstream.scheme is DIRECT:
                return await self._direct.open(host, port)
            if upstream.scheme is DROP:
                break
            try:
                return await self._open_by(upstream, HostPort(host.partition("%")[0], port))
            except RefusedError as error:
                raise DialError(f"{upstream}: {error}") from error
            except (OSError, EOFError, HandshakeError) as error:
                failure = f"{upstream}: {reason(error)}"
                self._selector.failed(upstream)
                self._throttle.warning(f"{upstream} failed", reason(error))
        raise DialError(failure)

    async def _open_by(self, upstream: Upstream, endpoint: HostPort) -> Stream:
        """By the first of its addresses that can be connected to; the last failure counts."""
        failure: Exception = HandshakeError(f"the name {upstream.host} is not found")
        for target in self._targets[upstream]:
            handshake = connect_handshake(upstream, endpoint)
            try:
                async with asyncio.timeout(TIMEOUT):
                    return await self._hand_over(upstream, handshake, target)
            except (OSError, EOFError, HandshakeError) as error:
                if handshake.asked:  # which may be the DNS server's fault
                    raise RefusedError(reason(error)) from error
                failure = error
        raise failure

    async def _hand_over(
        self, upstream: Upstream, handshake: Handshake, target: SocketAddress
    ) -> Stream:
        reader, writer = await _connect(target, self._mark)
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


async def _connect(target: SocketAddress, mark: int) -> Stream:
    sock = for_asyncio(outgoing(target.family, mark))
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
        raise HandshakeError("it sent something before it was asked")


def reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or error.reason or "TLS failed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio has put in something else
    return str(error) or "it failed"
