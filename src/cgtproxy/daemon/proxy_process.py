"""The built-in server as the daemon's child: started when a TPROXY has an upstream, and kept up."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

from cgtproxy.runtime.backoff import Backoff
from cgtproxy.runtime.event_loop import EventLoop

FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0  # seconds until it is started again
FORGIVEN = 0.1  # failures a second, where it does not get ready in between
TIMEOUT = 5.0  # seconds to end in

log = logging.getLogger("cgtproxy")


class ProxyProcess:
    """`argv` runs it. It tells its state as to a service manager (sd_notify(3)); `on_settled` is
    called when it is ready, after a start or a reload, or has ended."""

    def __init__(
        self, loop: EventLoop, argv: Sequence[str], on_settled: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._argv = argv
        self._on_settled = on_settled
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, leak=FORGIVEN)
        self._wanted = False
        self.settled = True
        # Nobody writes to it: its end tells the server that this process is gone, however it ended.
        self._alive = os.pipe()
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ears.bind("")  # an abstract name of the kernel's choice (unix(7), autobind)
        self._ears.setblocking(False)
        loop.watch(self._ears, self._hear)
        loop.on_signal(signal.SIGCHLD, self._reap)

    def want(self, wanted: bool) -> None:
        """Start it, stop it, or have it read its configuration again."""
        self._wanted = wanted
        if not wanted:
            self.stop()
        elif self._process:
            self.settled = False
            self._process.send_signal(signal.SIGHUP)
        else:
            self._start()

    def stop(self) -> None:
        """End it by SIGTERM, after TIMEOUT by SIGKILL, and wait for its end."""
        self._wanted, self.settled = False, True
        process, self._process = self._process, None
        if process:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> None:
        if self._process or not self._wanted:
            return
        self.settled = False
        name = self._ears.getsockname().decode()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WATCHDOG_")}
        environment["NOTIFY_SOCKET"] = "@" + name[1:]
        environment["LOG_LEVEL"] = logging.getLevelName(log.level)
        environment["CGTPROXY_ALIVE_FD"] = str(self._alive[0])
        self._process = subprocess.Popen(
            self._argv, env=environment, stdin=subprocess.DEVNULL, pass_fds=self._alive[:1]
        )

    def _hear(self) -> None:
        if b"READY=1" in self._ears.recv(65536).split(b"\n"):
            self._backoff.succeeded()
            self._settle()

    def _reap(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        code = self._process.returncode
        self._process = None
        log.error("the built-in server ended (exit code %d), starting it again", code)
        now = time.monotonic()
        self._backoff.failed(now)
        self._loop.after(self._backoff.delay(now), self._start)
        self._settle()

    def _settle(self) -> None:
        if not self.settled:
            self.settled = True
            self._on_settled()
