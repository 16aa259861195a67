"""Several DNS servers, in what order they are asked."""

from __future__ import annotations

import asyncio

import pytest

from cgtproxy.proxy.dns.failover_client import FailoverClient
from cgtproxy.proxy.io.throttle import Throttle

ANSWER = bytes(12)


class Slow:
    async def ask(self, query: bytes) -> bytes:
        await asyncio.Event().wait()
        return query


class Quick:
    async def ask(self, query: bytes) -> bytes:
        return ANSWER


def test_who_took_all_the_time_is_asked_last() -> None:
    async def main() -> bytes:
        client = FailoverClient({"slow": Slow(), "quick": Quick()}, Throttle())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.ask(b"")
        return await client.ask(b"")

    assert asyncio.run(main()) == ANSWER
