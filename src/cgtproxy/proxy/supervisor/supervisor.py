"""The server's first process: it makes the listening sockets, and keeps workers at them.

The sockets live as long as it does, one of each kind for every worker (SO_REUSEPORT): the kernel
lets the clients of a worker that died wait until the next one has taken its place. A reload puts
new workers at the same sockets, while the old ones go on until their last connection ends.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cgtproxy import __version__
from cgtproxy.config.model import Config
from cgtproxy.errors import CgtproxyError, NothingToServeError
from cgtproxy.proxy.dns.sockets import DnsListenSockets
from cgtproxy.proxy.fakeip.slot_table import SlotTable
from cgtproxy.proxy.io.addresses import show
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.supervisor.listen_sockets import ListenSocketPool
from cgtproxy.proxy.supervisor.packages import require_packages
from cgtproxy.proxy.supervisor.processes import Restarts, describe, spawn
from cgtproxy.proxy.supervisor.resolver_manager import ResolverManager
from cgtproxy.proxy.upstreams.health_check import HealthChecker
from cgtproxy.proxy.upstreams.secrets import with_secrets
from cgtproxy.proxy.worker.worker import DRAIN, Worker, tune
from cgtproxy.runtime.event_loop import Callback
from cgtproxy.runtime.notify import Notifier

log = logging.getLogger("cgtproxy")


class Supervisor:
    """Serves the configuration that `load` reads, now and at each SIGHUP.

    `daemon` is a pipe that ends with the process that wants this one, where there is one.
    Raises CgtproxyError where the configuration is faulty, or leaves nothing to serve.
    """

    def __init__(self, load: Callable[[], Config], daemon: int | None) -> None:
        self._load = load
        self._config = self._loaded()
        self._daemon = daemon
        self._loop = Reactor()
        self._notifier = Notifier()
        self._listen_sockets = ListenSocketPool()
        self._resolver = ResolverManager(self._loop)
        self._workers: dict[int, int] = {}  # pid → number
        self._draining: set[int] = set()
        self._restarts = Restarts(self._loop)
        self._checker: HealthChecker | None = None  # in force
        self._coming: HealthChecker | None = None  # is looking names up
        # Nobody writes to it: its end tells the workers that this process is gone.
        self._alive_reader, self._alive_writer = os.pipe()

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or the daemon's end. Raises CgtproxyError at the start."""
        checker = self._new_checker(self._config)
        self._listen(self._config)
        if self._daemon is not None:
            self._loop.register(self._daemon, lambda _: self._loop.stop())
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        self._loop.on_signal(signal.SIGINT, self._loop.stop)
        self._loop.on_signal(signal.SIGHUP, self._reload)
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._prepare(checker, partial(self._begin, checker))
        self._loop.run()
        self._notifier.stopping()
        self._stop()

    def _begin(self, checker: HealthChecker) -> None:
        self._renew(checker)
        log.info("cgtproxy %s: %s", __version__, self._status())
        self._notifier.ready(self._status())

    def _status(self) -> str:
        served = [
            f"{tproxy.name} on port {tproxy.port} to {', '.join(map(str, tproxy.server.upstreams))}"
            for tproxy in self._config.tproxies
            if tproxy.server
        ]
        asked = [
            f"DNS for {name} at {', '.join(map(show, dns.listen))}"
            for name, dns in self._config.dns_servers.items()
        ]
        return f"{_count(self._config)} workers serve {', '.join(served + asked)}"

    def _loaded(self) -> Config:
        config = with_secrets(self._load())
        if not config.served:
            what = "no TPROXY of the configuration has an upstream"
            raise NothingToServeError(what, "give one: `upstream: socks5://127.0.0.1:1080`")
        require_packages(config)
        return config

    def _new_checker(self, config: Config) -> HealthChecker:
        known = self._checker.targets if self._checker else {}
        return HealthChecker(config, self._loop, known, self._moved)

    def _prepare(self, checker: HealthChecker, then: Callback) -> None:
        """Call `then` when the upstreams' names are looked up, unless there is a later call."""
        if self._coming:
            self._coming.stop()
        self._coming = checker

        def prepared() -> None:
            self._coming = None
            then()

        checker.prepare(prepared)

    def _listen(self, config: Config) -> None:
        """Go over to the sockets for this configuration, or raise CgtproxyError."""
        try:
            self._listen_sockets.open(config, _count(config))
            self._resolver.open(config)
            self._config = config
        finally:
            self._listen_sockets.trim(self._config, _count(self._config))
            self._resolver.trim(self._config)

    def _start_worker(self, number: int) -> None:
        try:
            pid = spawn("a worker", partial(self._be_worker, number))
        except OSError as error:
            log.error("cannot start a worker: %s", error.strerror)
            self._restarts.later(partial(self._replace, number))
        else:
            self._workers[pid] = number

    def _be_worker(self, number: int) -> None:
        os.close(self._alive_writer)
        self._loop.leave()
        assert self._checker
        health, targets = self._checker.health, self._checker.targets
        sockets = self._listen_sockets.of(self._config, number)
        resolvers = self._resolver.addresses(self._config)
        self._listen_sockets.leave(number)
        self._resolver.leave()
        pools = self._resolver.tables
        Worker(self._config, sockets, targets, health, pools, resolvers).run(self._alive_reader)

    def _be_resolver(
        self, sockets: Mapping[str, DnsListenSockets], pools: Sequence[SlotTable]
    ) -> None:
        from cgtproxy.proxy.dns.process import Resolver  # asyncio takes memory, here alone

        os.close(self._alive_writer)
        self._loop.leave()
        self._listen_sockets.leave()
        assert self._checker
        health, targets = self._checker.health, self._checker.targets
        tune()
        Resolver(self._config, sockets, pools, targets, health).run(self._alive_reader)

    def _reap(self) -> None:
        while self._workers or self._draining or self._resolver.pid:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._draining.discard(pid)
            number = self._workers.pop(pid, None)
            if number is not None:
                log.error("worker %d ended (%s), starting another", pid, describe(status))
                self._restarts.later(partial(self._replace, number))
            elif pid == self._resolver.pid:
                self._resolver.ended(status)

    def _replace(self, number: int) -> None:
        if number < _count(self._config) and number not in self._workers.values():
            self._start_worker(number)

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            config = self._loaded()
            checker = self._new_checker(config)
        except NothingToServeError:
            log.info("no TPROXY has an upstream any more")
            self._loop.stop()
            return
        except (CgtproxyError, OSError) as error:
            self._keep(error)
        else:
            self._prepare(checker, partial(self._apply, config, checker))

    def _apply(self, config: Config, checker: HealthChecker) -> None:
        try:
            self._listen(config)
        except (CgtproxyError, OSError) as error:
            checker.stop()
            self._keep(error)
            if not self._checker:  # the first names were still being looked up
                checker = self._new_checker(self._config)
                self._prepare(checker, partial(self._begin, checker))
            return
        self._renew(checker)
        log.info("reloaded: %s", self._status())
        self._notifier.ready(self._status())

    def _keep(self, error: Exception) -> None:
        log.error("not reloaded, the old configuration stays in force: %s", error)
        if self._checker:
            self._notifier.ready(self._status())

    def _moved(self) -> None:
        """An upstream's name has other addresses."""
        if not self._coming:
            checker = self._new_checker(self._config)
            self._prepare(checker, partial(self._renew, checker))

    def _renew(self, checker: HealthChecker) -> None:
        """New workers for new connections; the old ones go on with theirs."""
        before = list(self._workers)
        if self._checker:
            self._checker.stop()
        self._checker = checker
        self._workers.clear()
        for number in range(_count(self._config)):
            self._start_worker(number)
        self._resolver.renew(self._config, self._be_resolver)
        checker.start()
        for pid in before:
            self._draining.add(pid)
            os.kill(pid, DRAIN)

    def _stop(self) -> None:
        pids = [*self._workers, *self._draining]
        if self._resolver.pid:
            pids.append(self._resolver.pid)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)
        log.info("stopped")


def _count(config: Config) -> int:
    """Of the workers."""
    return config.limits.processes or len(os.sched_getaffinity(0))
