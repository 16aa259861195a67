"""One process of the server: a reactor, and a share of every TPROXY's connections."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import AF_UNIX

from cgtproxy.config.model import Config, Tproxy, Upstream
from cgtproxy.proxy.fakeip.destinations import Destinations
from cgtproxy.proxy.fakeip.names import FakeNames, Leases
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.names.stub import Stub
from cgtproxy.proxy.upstreams.pool import PooledDialer
from cgtproxy.proxy.upstreams.selection import Health, UpstreamSelector
from cgtproxy.proxy.worker.gate import Gate
from cgtproxy.proxy.worker.sockets import ListenSockets
from cgtproxy.proxy.worker.tcp.connect import UpstreamConnector
from cgtproxy.proxy.worker.tcp.direct import Direct
from cgtproxy.proxy.worker.tcp.listener import Listener
from cgtproxy.proxy.worker.tcp.relay import Relays
from cgtproxy.proxy.worker.udp.connect import UdpConnector
from cgtproxy.proxy.worker.udp.flows import DestinationPolicy
from cgtproxy.proxy.worker.udp.listener import DatagramListener
from cgtproxy.proxy.worker.udp.sessions import Sessions

DRAIN = signal.SIGUSR1

log = logging.getLogger("cgtproxy")


class Worker:
    """Serves a share of all connections and UDP sessions.

    `sockets` has the listening sockets by the TPROXY's name, `targets` the upstreams' addresses,
    and `pools` the fake-ip pools of all TPROXYs. `resolvers` has, by the TPROXY's name, the address
    of the AF_UNIX socket at which the resolver tells real addresses, where there is a resolver.
    """

    def __init__(
        self,
        config: Config,
        sockets: Mapping[str, ListenSockets],
        targets: Mapping[Upstream, Sequence[SocketAddress]],
        health: Health,
        pools: Sequence[SlotTable],
        resolvers: Mapping[str, bytes | str],
    ) -> None:
        self._health = health
        self._reactor = reactor = Reactor()
        self._throttle = Throttle()
        self._relays = Relays(reactor, config.limits)
        self._connecting = Deadlines(reactor, config.limits.connect_timeout)
        self._sessions = Sessions(reactor, config.limits, self._throttle)
        self._fake_names = FakeNames(pools)
        self._leases = Leases(reactor)
        self._resolvers = resolvers
        self._mark = mark = config.limits.mark
        self._dialer = PooledDialer(reactor, self._connecting, mark, targets)
        self._direct = Direct(self._relays, self._connecting, mark, self._throttle)
        self._listeners: list[Listener | DatagramListener] = []
        for tproxy in config.tproxies:
            if tproxy.server:
                self._serve(tproxy, sockets[tproxy.name])

    def run(self, alive: int) -> None:
        """Serve until SIGTERM or the end of the pipe `alive`; after DRAIN, until all flows end."""
        self._reactor.register(alive, lambda _: self._reactor.stop())
        for number in (signal.SIGTERM, signal.SIGINT):
            self._reactor.on_signal(number, self._reactor.stop)
        self._reactor.on_signal(DRAIN, self._drain)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # is the supervisor's
        tune()
        self._reactor.run()

    def _serve(self, tproxy: Tproxy, sockets: ListenSockets) -> None:
        assert tproxy.server
        gate = Gate(tproxy.port, self._throttle)
        selector = UpstreamSelector(tproxy.server, self._health)
        destinations = Destinations(
            self._fake_names, self._leases, self._stub(tproxy), self._throttle
        )
        connector = UpstreamConnector(
            selector, self._dialer, self._direct, destinations, self._relays, self._throttle
        )
        for socks, own in ((sockets.streams, True), (sockets.streams_of_others, False)):
            for sock in socks:
                listener = Listener(sock, gate, connector, self._relays, self._throttle, own=own)
                self._listeners.append(listener)
        if not tproxy.no_udp:
            policy = DestinationPolicy(gate, destinations)
            udp = UdpConnector(selector, self._dialer, policy, self._sessions)
            for sock in sockets.datagrams:
                self._listeners.append(DatagramListener(sock, udp.open, self._sessions))

    def _stub(self, tproxy: Tproxy) -> Stub:
        resolver = self._resolvers.get(tproxy.name)
        servers = [(AF_UNIX, resolver)] if resolver else []
        return Stub(self._reactor, lambda: servers, self._mark)

    def _drain(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._relays.open or self._relays.opening or self._connecting or self._sessions.open:
            self._reactor.after(1.0, self._stop_when_done)
        else:
            self._reactor.stop()


def tune() -> None:
    """Prepare the process for many connections: descriptors, scheduling, garbage collector."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # The daemon's privileges over other processes are not for carrying data.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    # Connections break their cycles by hand; the collector would trace all of them in vain.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
