"""Fail-over between DNS servers: the first that works is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from cgtproxy.proxy.dns.clients import AskError, Client
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.dns import NOTIMP, RCODE, REFUSED, SERVFAIL

_PENALTY = 30.0  # seconds in which a server that has failed is asked after the others
_TRY_NEXT = (SERVFAIL, NOTIMP, REFUSED)  # another server may know


class FailoverClient:
    """Asks several servers in turn, in the order of `clients`, whose keys are names for the log."""

    def __init__(self, clients: Mapping[str, Client], throttle: Throttle) -> None:
        self._clients = clients
        self._throttle = throttle
        self._failed: dict[str, float] = {}  # until when

    async def ask(self, query: bytes) -> bytes:
        """The first answer that says something, or else the last refusal. Raises AskError."""
        refusal, failure = b"", "there is none"
        now = time.monotonic()
        for name in sorted(self._clients, key=lambda name: self._failed.get(name, 0.0) > now):
            try:
                answer = await self._clients[name].ask(query)
            except AskError as error:
                failure = f"{name}: {error}"
                self._put_last(name)
                self._throttle.warning(f"the DNS server {name} failed", str(error))
                continue
            except asyncio.CancelledError:  # there is no more time to wait for it
                self._put_last(name)
                raise
            self._failed.pop(name, None)
            if answer[3] & RCODE not in _TRY_NEXT:
                return answer
            refusal = answer
        if refusal:
            return refusal
        raise AskError(failure)

    def _put_last(self, name: str) -> None:
        self._failed[name] = time.monotonic() + _PENALTY
