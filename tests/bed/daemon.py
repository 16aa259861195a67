"""The program under test, run as a service manager would."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from .cgroup import Cgroup
from .program import Program
from .waiting import TIMEOUT


class Daemon(Program):
    """`cgtproxy -c FILE` with `config` as FILE, ready once the context is entered.

    Leaving the context stops it with SIGTERM, and fails if it had ended by itself before.
    """

    def __init__(
        self,
        config: str,
        *arguments: str,
        cgroup: Cgroup | None = None,
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="daemon.", dir="/run"))
        self.config = self.directory / "config.yaml"
        self.write_config(config)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.directory / "notify"))
        self.notified: list[str] = []
        """Everything it told the service manager, one assignment an entry."""
        program = [sys.executable, "-m", "cgtproxy", "-c", str(self.config), *arguments]
        notify = {"NOTIFY_SOCKET": str(self.directory / "notify")}
        environment = {**os.environ, "LOG_LEVEL": "debug", **notify, **(env or {})}
        super().__init__([*wrapper, *program], cgroup=cgroup, env=environment)

    def write_config(self, config: str) -> None:
        self.config.write_text(config)

    def start(self) -> Self:
        """Start it and wait until it says that it is ready."""
        heard = len(self.notified)
        super().start()
        self.wait_notified("READY=1", since=heard)
        return self

    def reload(self, config: str | None = None) -> None:
        """SIGHUP, after writing `config` if given; wait until it says that it is ready again."""
        if config is not None:
            self.write_config(config)
        heard = len(self.notified)
        self.process.send_signal(signal.SIGHUP)
        self.wait_notified("RELOADING=1", since=heard)
        self.wait_notified("READY=1", since=heard)

    def wait_notified(self, assignment: str, *, since: int = 0, timeout: float = TIMEOUT) -> None:
        """Wait for a notification such as "READY=1", from number `since` on."""
        deadline = time.monotonic() + timeout
        exited = os.pidfd_open(self.pid)
        try:
            sources: list[socket.socket | int] = [self._notify, exited]
            while assignment not in self.notified[since:]:
                left = max(0.0, deadline - time.monotonic())
                readable, _, _ = select.select(sources, [], [], left)
                if self._notify in readable:
                    self.notified += self._notify.recv(65536).decode().splitlines()
                elif readable:
                    raise AssertionError(f"ended before {assignment}: {self.wait()}. {self}")
                else:
                    raise AssertionError(f"no {assignment} in {timeout:g} s. {self}")
        finally:
            os.close(exited)
