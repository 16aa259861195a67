"""Where the upstreams are: the addresses of those that are given by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cgtproxy.config.model import Config, Upstream
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.io.addresses import SocketAddress, numeric_addresses
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.names import system
from cgtproxy.proxy.names.stub import Done, Stub
from cgtproxy.runtime.event_loop import Callback

_FIRST = 2.0  # seconds to wait for all names
_AGAIN = 5.0  # seconds until a name is looked up again, in the cache as long as that holds
_DNS_PORT = 53

log = logging.getLogger("cgtproxy")


class Targets:
    """`found` has the addresses of each upstream; none for a name that nobody knows now.

    `known` are addresses from before. When all those of a name have changed, and the upstream does
    not `work` by the old ones any more, `found` stays as it is, and `on_moved` is called: many
    names tell other addresses each time. After stop() nothing more happens.
    """

    def __init__(
        self,
        config: Config,
        reactor: Reactor,
        known: Mapping[Upstream, Sequence[SocketAddress]],
        works: Callable[[Upstream], bool],
        on_moved: Callback,
    ) -> None:
        self.found: dict[Upstream, Sequence[SocketAddress]] = {}
        self._names = []
        for upstream in config.remote_upstreams:
            given = numeric_addresses([upstream.host], upstream.port)
            self.found[upstream] = given or known.get(upstream, ())
            if not given:
                self._names.append(upstream)
        self._reactor = reactor
        self._stub = Stub(reactor, _servers, config.limits.mark, system.hosts)
        self._pools = [Ranges(pool) for pool in config.pools]
        self._works = works
        self._on_moved = on_moved
        self._then: Callback | None = None
        self._missing = set(self._names)
        self._stopped = False

    def prepare(self, then: Callback) -> None:
        """Call `then` once: when all names have been looked up, or that has taken too long."""
        self._then = then
        for upstream in self._names:
            self._look_up(upstream)
        if self._missing:
            self._reactor.after(_FIRST, self._begin)
        else:
            self._begin()

    def stop(self) -> None:
        """End the look-ups."""
        self._stopped = True

    def _begin(self) -> None:
        then, self._then = self._then, None
        if then and not self._stopped:
            then()

    def _look_up(self, upstream: Upstream) -> None:
        if not self._stopped:
            self._search(system.candidates(upstream.host), partial(self._looked_up, upstream))

    def _search(self, names: list[str], done: Done) -> None:
        """The first of the names that has addresses."""

        def looked_up(addresses: list[str]) -> None:
            if addresses or not names[1:]:
                done(addresses)
            else:
                self._search(names[1:], done)

        self._stub.look_up(names[0], looked_up)

    def _looked_up(self, upstream: Upstream, addresses: list[str]) -> None:
        if self._stopped:
            return
        real = [a for a in addresses if not self._is_fake_ip(a)]
        found = numeric_addresses(real, upstream.port)
        self._reactor.after(_AGAIN, partial(self._look_up, upstream))
        if self._then:
            self.found[upstream] = found or self.found[upstream]
            self._missing.discard(upstream)
            if not self._missing:
                self._begin()
        elif found and self._is_gone(upstream, found):
            log.info("%s has other addresses now", upstream)
            self._on_moved()

    def _is_gone(self, upstream: Upstream, found: Sequence[SocketAddress]) -> bool:
        before = self.found[upstream]
        return set(found).isdisjoint(before) and not (before and self._works(upstream))

    def _is_fake_ip(self, address: str) -> bool:
        """Then it stands for the name itself, and nobody is there."""
        host = address.partition("%")[0]
        return any(pool.slot_of_host(host) is not None for pool in self._pools)


def _servers() -> list[SocketAddress]:
    return numeric_addresses(system.servers(), _DNS_PORT)
