"""One process of the server: a reactor, and a share of every TPROXY's connections."""

from __future__ import annotations

import contextlib
import gc
import logging
import resource
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cgtproxy.config.model import Config, Tproxy
from cgtproxy.proxy.direct import Direct
from cgtproxy.proxy.listener import Gate, Listener
from cgtproxy.proxy.reactor import Deadlines, Reactor
from cgtproxy.proxy.relay.tcp import Relays
from cgtproxy.proxy.sockets import Socket
from cgtproxy.proxy.throttle import Throttle

DRAIN = signal.SIGUSR1

log = logging.getLogger("cgtproxy")


class Inlets(NamedTuple):
    """The sockets of one process on which one TPROXY's traffic comes in."""

    streams: Sequence[Socket]


class Worker:
    """`inlets` are those of each served TPROXY, by name."""

    def __init__(self, config: Config, inlets: Mapping[str, Inlets]) -> None:
        self._config = config
        self._reactor = Reactor()
        self._throttle = Throttle()
        self._relays = Relays(self._reactor, config.workers)
        self._connecting = Deadlines(self._reactor, config.workers.connect_timeout)
        self._listeners: list[Listener] = []
        for tproxy in config.tproxies:
            if tproxy.server:
                self._serve(tproxy, inlets[tproxy.name])

    def run(self) -> None:
        """Until SIGTERM; or until the last flow has ended after DRAIN."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._reactor.on_signal(number, self._reactor.stop)
        self._reactor.on_signal(DRAIN, self._drain)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # is the supervisor's
        tune()
        self._reactor.run()

    def _serve(self, tproxy: Tproxy, inlets: Inlets) -> None:
        assert tproxy.server
        gate = Gate(tproxy.port, self._throttle)
        opener = Direct(self._relays, self._connecting, self._config.workers.mark, self._throttle)
        for sock in inlets.streams:
            self._listeners.append(Listener(sock, gate, opener, self._relays, self._throttle))

    def _drain(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._relays.open or self._connecting:
            self._reactor.after(1.0, self._stop_when_done)
        else:
            self._reactor.stop()


def tune() -> None:
    """What many connections need of the process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Connections break their cycles by hand; the collector would trace all of them in vain.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
