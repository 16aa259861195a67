"""The program under test, run as a service manager would."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
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
        program: Sequence[str] = ("-m", "cgtproxy"),
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="daemon.", dir="/run"))
        self.config = self.directory / "config.yaml"
        self.write_config(config)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.directory / "notify"))
        self.notified: list[str] = []
        """Everything it told the service manager, one assignment an entry."""
        command = [sys.executable, *program, "-c", str(self.config), *arguments]
        notify = {"NOTIFY_SOCKET": str(self.directory / "notify")}
        environment = {**os.environ, "LOG_LEVEL": "debug", **notify, **(env or {})}
        super().__init__([*wrapper, *command], cgroup=cgroup, env=environment)
        threading.Thread(target=self._hear, daemon=True).start()

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

        def found() -> bool | None:
            return assignment in self.notified[since:] or None

        self.wait_news(found, assignment, timeout)

    def _hear(self) -> None:
        """Read all that it tells, as a service manager does: a full socket would block it."""
        while True:
            told = self._notify.recv(65536).decode().splitlines()
            with self._news:
                self.notified += told
                self._news.notify_all()
