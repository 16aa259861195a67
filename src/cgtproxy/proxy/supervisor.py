"""The server's first process: it makes the listening sockets, and keeps workers at them.

The sockets live as long as it does, one of each kind for every worker (SO_REUSEPORT): the kernel
lets the clients of a worker that died wait until the next one has taken its place. A reload puts
new workers at the same sockets, while the old ones go on until their last connection ends.
"""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from cgtproxy import __version__
from cgtproxy.config.model import Config
from cgtproxy.errors import CgtproxyError, NothingToServeError
from cgtproxy.loop import Callback
from cgtproxy.notify import Notifier
from cgtproxy.proxy.checks import Checker
from cgtproxy.proxy.reactor import Reactor
from cgtproxy.proxy.sockets import FAMILIES, Socket, has_family, listen, listen_datagrams
from cgtproxy.proxy.upstream import Health, remote, with_secrets
from cgtproxy.proxy.worker import DRAIN, Inlets, Worker

FIRST_DELAY, LONGEST_DELAY = 0.05, 5.0  # seconds before a worker is replaced
SETTLED = 10.0  # seconds a worker must live to count as healthy

Maker: TypeAlias = Callable[[int, int, int], Socket]
Watcher: TypeAlias = tuple[Health, Checker]
Kind: TypeAlias = tuple[Maker, int, int]  # listen or listen_datagrams, family, port

log = logging.getLogger("cgtproxy")


class Supervisor:
    """`load` reads the configuration, at the start and at each SIGHUP."""

    def __init__(self, load: Callable[[], Config]) -> None:
        self._load = load
        self._loop = Reactor()
        self._notifier = Notifier()
        self._sockets: dict[Kind, list[Socket]] = {}
        self._workers: dict[int, int] = {}  # pid → number
        self._draining: set[int] = set()
        self._delay = FIRST_DELAY
        self._checker: Checker | None = None
        self._coming: Checker | None = None  # still looking names up
        # Nobody writes to it: its end tells the workers that this process is gone.
        self._alive = os.pipe()

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises CgtproxyError where it cannot start."""
        self._config = self._loaded()
        watcher = self._watcher(self._config)
        self._listen()
        self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        self._loop.on_signal(signal.SIGINT, self._loop.stop)
        self._loop.on_signal(signal.SIGHUP, self._reload)
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._prepare(watcher, partial(self._begin, watcher))
        self._loop.run()
        self._notifier.stopping()
        self._stop()

    def _begin(self, watcher: Watcher) -> None:
        self._renew(watcher)
        log.info("cgtproxy %s: %s", __version__, self._status())
        self._notifier.ready(self._status())

    @property
    def _count(self) -> int:
        return self._config.limits.count or len(os.sched_getaffinity(0))

    def _status(self) -> str:
        served = ", ".join(
            f"{tproxy.name} on port {tproxy.port} to {', '.join(map(str, tproxy.server.upstreams))}"
            for tproxy in self._config.tproxies
            if tproxy.server
        )
        return f"{self._count} workers serve {served}"

    def _loaded(self) -> Config:
        config = with_secrets(self._load())
        if not config.served:
            what = "no TPROXY of the configuration has an upstream"
            raise NothingToServeError(what, "give one: `upstream: socks5://127.0.0.1:1080`")
        return config

    def _watcher(self, config: Config) -> Watcher:
        health = Health(remote(config))
        known = self._checker.targets if self._checker else {}
        return health, Checker(config, self._loop, health, known, self._moved)

    def _prepare(self, watcher: Watcher, then: Callback) -> None:
        """Call `then` when the upstreams' names are looked up, unless there is a later call."""
        if self._coming:
            self._coming.stop()
        self._coming = watcher[1]
        self._coming.prepare(then)

    def _listen(self) -> None:
        """Make the sockets that are missing, and close those that are not wanted any more."""
        ports = [tproxy.port for tproxy in self._config.tproxies if tproxy.server]
        families = [family for family in FAMILIES if has_family(family)]
        wanted = {
            (make, family, port)
            for make in (listen, listen_datagrams)
            for family in families
            for port in ports
        }
        made = {key: self._fill(key, []) for key in wanted - self._sockets.keys()}
        for key in self._sockets.keys() - wanted:
            for sock in self._sockets.pop(key):
                sock.close()
        for key, socks in self._sockets.items():
            self._fill(key, socks)
        self._sockets |= made

    def _fill(self, key: Kind, socks: list[Socket]) -> list[Socket]:
        """One socket for each worker."""
        make, family, port = key
        while len(socks) < self._count:
            socks.append(make(family, port, self._config.limits.mark))
        while len(socks) > self._count:
            socks.pop().close()
        return socks

    def _inlets(self, number: int) -> Mapping[str, Inlets]:
        def of(wanted: Maker, port: int) -> list[Socket]:
            found = self._sockets.items()
            return [s[number] for (make, _, p), s in found if (make, p) == (wanted, port)]

        return {
            tproxy.name: Inlets(of(listen, tproxy.port), of(listen_datagrams, tproxy.port))
            for tproxy in self._config.tproxies
            if tproxy.server
        }

    def _start_worker(self, number: int) -> None:
        pid = os.fork()
        if pid:
            self._workers[pid] = number
            return
        code = 1
        try:
            self._be_worker(number)
            code = 0
        except BaseException:
            log.error("a worker failed: %s", traceback.format_exc())
        finally:
            os._exit(code)  # nothing of the supervisor's must run at the end of its copy

    def _be_worker(self, number: int) -> None:
        os.close(self._alive[1])
        # A listening socket that nobody accepts from would still get its share of the clients.
        for socks in self._sockets.values():
            for sock in socks[:number] + socks[number + 1 :]:
                sock.close()
        assert self._checker
        inlets = self._inlets(number)
        worker = Worker(self._config, inlets, self._checker.targets, self._health, (), {})
        worker.run(self._alive[0])

    def _reap(self) -> None:
        while self._workers or self._draining:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._draining.discard(pid)
            number = self._workers.pop(pid, None)
            if number is not None:
                how = os.waitstatus_to_exitcode(status)
                ended = f"exit code {how}" if how >= 0 else signal.Signals(-how).name
                log.error("worker %d ended (%s), starting another", pid, ended)
                self._loop.after(self._delay, partial(self._replace, number))
                self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _replace(self, number: int) -> None:
        if number < self._count and number not in self._workers.values():
            self._start_worker(number)
            self._loop.after(SETTLED, self._settle)

    def _settle(self) -> None:
        self._delay = FIRST_DELAY

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            config = self._loaded()
            watcher = self._watcher(config)
        except NothingToServeError:
            log.info("no TPROXY has an upstream any more")
            self._loop.stop()
            return
        except CgtproxyError as error:
            self._keep(error)
        else:
            self._prepare(watcher, partial(self._apply, config, watcher))

    def _apply(self, config: Config, watcher: Watcher) -> None:
        old, self._config = self._config, config
        try:
            self._listen()
        except CgtproxyError as error:
            self._config = old
            self._keep(error)
            return
        self._renew(watcher)
        log.info("reloaded: %s", self._status())
        self._notifier.ready(self._status())

    def _keep(self, error: CgtproxyError) -> None:
        log.error("not reloaded, the old configuration stays in force: %s", error)
        self._notifier.ready(self._status())

    def _moved(self) -> None:
        """An upstream's name has other addresses."""
        if not self._coming:
            watcher = self._watcher(self._config)
            self._prepare(watcher, partial(self._renew, watcher))

    def _renew(self, watcher: Watcher) -> None:
        """New workers for new connections; the old ones go on with theirs."""
        before = list(self._workers)
        if self._checker:
            self._checker.stop()
        self._health, self._checker = watcher
        self._coming = None
        self._workers.clear()
        for number in range(self._count):
            self._start_worker(number)
        self._checker.start()
        for pid in before:
            self._draining.add(pid)
            os.kill(pid, DRAIN)

    def _stop(self) -> None:
        for pid in (*self._workers, *self._draining):
            os.kill(pid, signal.SIGTERM)
        for pid in (*self._workers, *self._draining):
            os.waitpid(pid, 0)
        log.info("stopped")
