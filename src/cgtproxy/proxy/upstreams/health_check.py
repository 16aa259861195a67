"""Regular health checks of the upstreams."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from cgtproxy.config.model import Config, Upstream
from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.upstreams.connection import Connected
from cgtproxy.proxy.upstreams.dialer import Dialer
from cgtproxy.proxy.upstreams.failover import Failed, Outcome
from cgtproxy.proxy.upstreams.resolve import Targets
from cgtproxy.proxy.upstreams.schemes import check_handshake
from cgtproxy.proxy.upstreams.selection import Health
from cgtproxy.runtime.event_loop import Callback

log = logging.getLogger("cgtproxy")


class HealthChecker:
    """Checks the upstreams of one configuration: at once, and then every `health-check` seconds.

    `health` is kept up to date. `known` are the upstreams' addresses so far, and `targets` what is
    known now. `on_moved` is called when a name has other addresses. After stop() nothing happens.
    """

    def __init__(
        self,
        config: Config,
        reactor: Reactor,
        known: Mapping[Upstream, Sequence[SocketAddress]],
        on_moved: Callback,
    ) -> None:
        self._reactor = reactor
        self.health = Health(config.remote_upstreams)
        self._stopped = False
        self._intervals = _intervals(config)
        self._names = Targets(config, reactor, known, self.health.is_up, on_moved)
        self.targets: Mapping[Upstream, Sequence[SocketAddress]] = self._names.found
        deadlines = Deadlines(reactor, config.limits.connect_timeout)
        self._dialer = Dialer(reactor, deadlines, config.limits.mark, self.targets)

    def prepare(self, then: Callback) -> None:
        """Look up the upstreams' names; call `then` when that is done, or has taken too long."""
        self._names.prepare(then)

    def start(self) -> None:
        """Begin to check."""
        for upstream in self._intervals:
            self._check(upstream)

    def stop(self) -> None:
        """End the checks, and the look-ups."""
        self._stopped = True
        self._names.stop()

    def _check(self, upstream: Upstream) -> None:
        if not self._stopped:
            ended = partial(self._checked, upstream)
            self._dialer.dial(upstream, check_handshake(upstream), ended)

    def _checked(self, upstream: Upstream, end: Connected | Failed) -> None:
        if isinstance(end, Connected):
            self._reactor.drop(end.sock.fileno())
            end.sock.close()
        if self._stopped:
            return
        self._tell(upstream, end)
        self._reactor.after(self._intervals[upstream], partial(self._check, upstream))

    def _tell(self, upstream: Upstream, end: Connected | Failed) -> None:
        if isinstance(end, Connected):
            if self.health.tell(upstream, up=True):
                log.info("%s is up again", upstream)
        elif end.outcome is Outcome.OUT_OF_DESCRIPTORS:
            pass  # which says nothing of the upstream
        elif self.health.tell(upstream, up=False):
            log.warning("%s is down: %s", upstream, end.reason)


def _intervals(config: Config) -> dict[Upstream, int]:
    servers = [tproxy.server for tproxy in config.tproxies if tproxy.server]
    found: dict[Upstream, int] = {}
    for server in servers:
        for upstream in _checked(server.upstreams) if server.health_check else ():
            found[upstream] = min(found.get(upstream, server.health_check), server.health_check)
    return found


def _checked(upstreams: Iterable[Upstream]) -> list[Upstream]:
    return [upstream for upstream in upstreams if upstream.scheme.remote]
