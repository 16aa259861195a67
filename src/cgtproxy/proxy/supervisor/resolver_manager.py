"""Keeping the resolver running: one at a time, for it alone gives names to the pools' addresses."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from cgtproxy.config.model import Config, FakePool
from cgtproxy.proxy.dns.sockets import DnsListenSockets
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.supervisor.dns_sockets import DnsSockets
from cgtproxy.proxy.supervisor.processes import Restarts, describe, spawn
from cgtproxy.runtime.event_loop import Callback, EventLoop

_TIMEOUT = 5.0  # seconds in which it has to end when it is told to

# What a resolver does, in a process of its own.
Run: TypeAlias = Callable[[Mapping[str, DnsListenSockets], Sequence[SlotTable]], None]

log = logging.getLogger("cgtproxy")


class ResolverManager:
    """Starts the resolver, and replaces it for a new configuration or when it has ended.

    Sockets and pools outlive the resolvers: queries wait for the next one, and names stay. `pid` is
    that of the running resolver, or 0.
    """

    def __init__(self, loop: EventLoop) -> None:
        self.pid = 0
        self._loop = loop
        self._sockets = DnsSockets()
        self._tables: dict[FakePool, SlotTable] = {}
        self._start: Callback = lambda: None
        self._stopping = False
        self._restarts = Restarts(loop)

    @property
    def tables(self) -> Sequence[SlotTable]:
        """The shared memory of all pools of the configuration."""
        return list(self._tables.values())

    def open(self, config: Config) -> None:
        """Make the sockets that are missing. Raises CgtproxyError."""
        self._sockets.open(config)

    def trim(self, config: Config) -> None:
        """Have the pools of this configuration, and no sockets that it does not want."""
        self._sockets.trim(config)
        self._tables = {
            pool: self._tables.get(pool) or SlotTable(Ranges(pool)) for pool in config.pools
        }

    def leave(self) -> None:
        """In another process, which serves no DNS, close the sockets."""
        self._sockets.leave()

    def addresses(self, config: Config) -> dict[str, bytes]:
        """The AF_UNIX address at which each TPROXY's workers ask for real addresses.

        A TPROXY without a DNS server has that of the first one that gives fake-ip addresses.
        """
        own = {name: sockets.workers for name, sockets in self._sockets.of(config).items()}
        makers = (own[name] for name, dns in config.dns_servers.items() if dns.pool)
        first = next(makers, None)
        served = {t.name: own.get(t.name, first) for t in config.tproxies if t.server}
        return {name: sock.getsockname() for name, sock in served.items() if sock}

    def renew(self, config: Config, run: Run) -> None:
        """Start a resolver for this configuration, as soon as the one before has ended."""
        self._start = partial(self._spawn, config, run)
        if not self.pid:
            self._start()
        elif not self._stopping:
            self._stopping = True
            os.kill(self.pid, signal.SIGTERM)
            self._loop.after(_TIMEOUT, partial(self._insist, self.pid))

    def _spawn(self, config: Config, run: Run) -> None:
        if not self.pid and (sockets := self._sockets.of(config)):
            try:
                self.pid = spawn("the resolver", lambda: run(sockets, self.tables))
            except OSError as error:
                log.error("cannot start the resolver: %s", error.strerror)
                self._restarts.later(lambda: self._start())

    def _insist(self, pid: int) -> None:
        if self.pid == pid:
            os.kill(pid, signal.SIGKILL)

    def ended(self, status: int) -> None:
        """Take notice that the resolver has ended, with `status` as waitpid(2) tells it."""
        pid, self.pid = self.pid, 0
        if self._stopping:
            self._stopping = False
            self._start()
        else:
            log.error("the resolver %d ended (%s), starting another", pid, describe(status))
            self._restarts.later(lambda: self._start())
