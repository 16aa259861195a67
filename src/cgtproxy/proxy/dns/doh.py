"""DNS over HTTPS (RFC 8484).

Imported only where a configuration has it: httpx and h2 need not be installed.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore

from cgtproxy.proxy.dns.clients import MAX_MESSAGE, AskError
from cgtproxy.proxy.dns.dial import TIMEOUT, DialError, Route, reason
from cgtproxy.proxy.protocols.dns import is_answer

_TIMEOUTS = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)}
_HEADERS = [("Content-Type", "application/dns-message"), ("Accept", "application/dns-message")]
_BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)
_FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
_IDLE = 60.0  # seconds after which an unused connection is closed


class HttpsClient:
    """Asks https://HOST:PORT/PATH over HTTP/2, by connections of `route`."""

    def __init__(
        self, route: Route, host: str, port: int, path: str, context: ssl.SSLContext
    ) -> None:
        shown = f"[{host}]" if ":" in host else host
        self._url = f"https://{shown}:{port}{path}"
        network: Any = _Network(route)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, http2=True, keepalive_expiry=_IDLE, network_backend=network
        )

    async def ask(self, query: bytes) -> bytes:
        """See Client."""
        sent = b"\0\0" + query[2:]  # so that caches know it again (section 4.1)
        try:
            try:
                answer = await self._post(sent)
            except _BROKEN:  # servers close what is idle, perhaps just when we ask
                answer = await self._post(sent)
        except _FAILURES as error:
            raise AskError(reason(error)) from error
        if not is_answer(sent, answer):
            raise AskError("its answer is to another question")
        return query[:2] + answer[2:]

    async def _post(self, query: bytes) -> bytes:
        async with self._pool.stream(
            "POST", self._url, headers=_HEADERS, content=query, extensions=_TIMEOUTS
        ) as response:
            if response.status != 200:
                raise AskError(f"it answers with HTTP status {response.status}")
            answer = b""
            async for chunk in response.aiter_stream():
                answer += chunk
                if len(answer) > MAX_MESSAGE:
                    raise AskError("its answer does not end")
            return answer


class _Network:
    """What httpcore takes for an AsyncNetworkBackend, in any of its versions."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> _Stream:
        try:
            return _Stream(*await self._route.open(host, port))
        except DialError as error:
            raise httpcore.ConnectError(str(error)) from error


class _Stream:
    """Likewise, for an AsyncNetworkStream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("no answer in time") from error
        except OSError as error:
            raise httpcore.ReadError(reason(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._writer.write(buffer)
        try:
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore.WriteTimeout("it reads nothing") from error
        except OSError as error:
            raise httpcore.WriteError(reason(error)) from error

    async def aclose(self) -> None:
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> _Stream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except OSError as error:
            self._writer.transport.abort()
            raise httpcore.ConnectError(reason(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked of an idle connection: has it been closed?
            return self._reader.at_eof()
        return self._writer.get_extra_info(info)
