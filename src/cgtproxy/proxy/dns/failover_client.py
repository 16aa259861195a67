"""Several DNS servers, of which the first that works is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from cgtproxy.proxy.dns.clients import AskError, Client
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.protocols.dns import NOTIMP, RCODE, REFUSED, SERVFAIL

_LAST_RESORT = 30.0  # seconds that who has failed is asked only after the others
_NO_ANSWERS = (SERVFAIL, NOTIMP, REFUSED)


class FailoverClient:
    """`clients` by what the log is to call them."""

    def __init__(self, clients: Mapping[str, Client], throttle: Throttle) -> None:
        self._clients = clients
        self._throttle = throttle
        self._failed: dict[str, float] = {}  # until when

    async def ask(self, query: bytes) -> bytes:
        """Raises AskError."""
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
            if answer[3] & RCODE not in _NO_ANSWERS:
                return answer
            refusal = answer
        if refusal:
            return refusal
        raise AskError(failure)

    def _put_last(self, name: str) -> None:
        self._failed[name] = time.monotonic() + _LAST_RESORT
