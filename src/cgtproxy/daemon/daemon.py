"""The daemon: one process, one engine, told what to do by signals."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence

from cgtproxy import __version__
from cgtproxy.config.parser import Parsed
from cgtproxy.daemon.proxy_process import ProxyProcess
from cgtproxy.engine.engine import Engine
from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime import lock
from cgtproxy.runtime.event_loop import EventLoop
from cgtproxy.runtime.notify import Notifier

log = logging.getLogger("cgtproxy")


class Daemon:
    """`load` reads the configuration, at the start and at each SIGHUP; `server` runs the
    built-in TPROXY server, and is empty where somebody else does."""

    def __init__(self, load: Callable[[], Parsed], server: Sequence[str]) -> None:
        self._load = load
        self._loop = EventLoop()
        self._notifier = Notifier()
        self._serves = bool(server)
        self._child = ProxyProcess(self._loop, server, self._settled)
        self._handing_over = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT, or SIGQUIT, which leaves the rules for a next instance.

        Raises CgtproxyError where it cannot start.
        """
        parsed = self._load()
        _warn(parsed)
        held = lock.take()  # until the process ends
        if held is None:
            log.warning(
                "a process of another user holds our lock (@cgtproxy); continuing without it"
            )
        else:
            self._loop.watch(held, lambda: lock.turn_away(held))
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, self._loop.stop)
        self._loop.on_signal(signal.SIGHUP, self._reload)
        self._loop.on_signal(signal.SIGQUIT, self._hand_over)
        self._engine = Engine(parsed.config, self._loop, self._notifier.status)
        self._engine.start()
        self._child.want(self._serves and parsed.config.served)
        log.info("cgtproxy %s: %s", __version__, self._engine.status())
        self._settled()
        if self._notifier.watchdog_seconds:
            self._watchdog()
        self._loop.run()
        self._notifier.stopping()
        self._child.stop()
        if self._handing_over:
            log.info("stopped; the rules stay in force for the next instance")
            return
        self._engine.stop()
        log.info("stopped; table, ip rules and routes are removed")

    def _hand_over(self) -> None:
        self._handing_over = True
        self._loop.stop()

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            parsed = self._load()
            _warn(parsed)
            self._engine.reload(parsed.config)
        except CgtproxyError as error:
            log.error("not reloaded, the old configuration stays in force: %s", error)
        else:
            self._child.want(self._serves and parsed.config.served)
            log.info("reloaded: %s", self._engine.status())
        self._settled()

    def _settled(self) -> None:
        """Ready, when the server is."""
        if self._child.settled:
            self._notifier.ready(self._engine.status())

    def _watchdog(self) -> None:
        assert self._notifier.watchdog_seconds is not None
        self._notifier.watchdog()
        self._loop.after(self._notifier.watchdog_seconds / 2, self._watchdog)


def _warn(parsed: Parsed) -> None:
    for warning in parsed.warnings:
        log.warning("%s", warning)
