"""The resolver process: it puts the parts together, and serves until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from cgtproxy.config.model import Config, FakePool, Server, Tproxy, Upstream
from cgtproxy.config.schemes import DIRECT
from cgtproxy.proxy.dns.answers import Answers
from cgtproxy.proxy.dns.batches import Batches
from cgtproxy.proxy.dns.dial import ProxyRoute, Route, for_asyncio
from cgtproxy.proxy.dns.forward import Forwarder
from cgtproxy.proxy.dns.service import Service
from cgtproxy.proxy.dns.sockets import DnsListenSockets
from cgtproxy.proxy.dns.system import System
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.fakeip.store import Store, state_directory
from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.upstreams.selection import Health, UpstreamSelector

_GRACE = 0.5  # seconds for answers of others that are still to come, at the end

log = logging.getLogger("cgtproxy")


class Resolver:
    """`sockets` are those of each TPROXY with a DNS server, by its name; `tables` has all pools.

    `targets` are the addresses of the upstreams, `health` tells which of them work.
    """

    def __init__(
        self,
        config: Config,
        sockets: Mapping[str, DnsListenSockets],
        tables: Sequence[SlotTable],
        targets: Mapping[Upstream, Sequence[SocketAddress]],
        health: Health,
    ) -> None:
        self._config = config
        self._listen_sockets = sockets
        self._tables = tables
        self._targets = targets
        self._health = health
        self._throttle = Throttle()

    def run(self, alive: int) -> None:
        """Serve until SIGTERM, SIGINT or the end of the pipe `alive` (a descriptor)."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # is the supervisor's
        if not self._tables:
            asyncio.run(self._serve({}, alive))
            return
        store = Store(state_directory())
        try:
            pools = {table.ranges.pool: store.pool(table) for table in self._tables}
            for pool in pools.values():
                pool.on_full = partial(self._tell_full, pool)
            store.start()
            asyncio.run(self._serve(pools, alive))
        finally:
            store.close()

    async def _serve(self, pools: Mapping[FakePool, Pool], alive: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._failed)
        stop = asyncio.Event()
        loop.add_reader(alive, stop.set)

        def end(*_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(stop.set)

        # The loop's own handlers would end with it: the second of two signals (the terminal's or
        # systemd's, and the supervisor's) would then end this process before all is written.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        self._batches = Batches()
        self._system = System(self._config.limits.mark, self._throttle)
        services = [
            service
            for tproxy in self._config.tproxies
            if tproxy.name in self._listen_sockets
            for service in await self._serve_tproxy(tproxy, pools)
        ]
        await stop.wait()
        for service in services:
            service.stop()
        await asyncio.wait(
            [asyncio.ensure_future(service.finish()) for service in services], timeout=_GRACE
        )

    async def _serve_tproxy(
        self, tproxy: Tproxy, pools: Mapping[FakePool, Pool]
    ) -> Sequence[Service]:
        assert tproxy.server
        assert tproxy.server.dns
        dns, sockets = tproxy.server.dns, self._listen_sockets[tproxy.name]
        mark = self._config.limits.mark
        forwarder = Forwarder(dns, self._route(tproxy.server), self._system, mark, self._throttle)
        names = pools[dns.pool] if dns.pool else None
        answers = Answers(dns, names, ipv6=not tproxy.no_ipv6)
        service = Service(answers, forwarder, self._batches, self._throttle)
        for sock in sockets.datagrams:
            service.serve_datagrams(for_asyncio(sock))
        for sock in sockets.streams:
            await service.serve_streams(for_asyncio(sock))
        # Our workers ask for real addresses, where they cannot pass a name on: no fake-ip there.
        real = Service(Answers(dns, None, ipv6=True), forwarder, self._batches, self._throttle)
        real.serve_workers(for_asyncio(sockets.workers))
        return service, real

    def _route(self, server: Server) -> Route:
        selector = UpstreamSelector(server, self._health)
        direct = self._system.direct
        assert server.dns
        if server.dns.through == "direct" or (selector.always and selector.always.scheme is DIRECT):
            return direct
        mark = self._config.limits.mark
        targets = {upstream: self._targets.get(upstream, ()) for upstream in server.upstreams}
        return ProxyRoute(selector, targets, mark, direct, self._throttle)

    def _tell_full(self, pool: Pool) -> None:
        network = pool.ranges.pool.network
        self._throttle.warning("no fake-ip addresses are left", f"all of {network} are in use")

    def _failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.debug("%s", context["message"], exc_info=error)
        self._throttle.warning("the resolver has a problem", f"{context['message']}: {error!r}")
