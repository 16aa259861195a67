"""The program under test, run as a service manager would."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from cgtproxy import __path__ as cgtproxy_path

from .cgroup import Cgroup
from .program import Program
from .waiting import TIMEOUT

PROGRAMS = Path(__file__).parent / "programs"
# A user who has nothing else running, so that limits on users are this program's.
NOBODY = int(os.environ.get("BED_USER", 65534))
# Programs that run as this user, first without and then with the one capability needed.
_NEEDED = {sys.base_prefix, sys.prefix, *(str(Path(entry).resolve()) for entry in cgtproxy_path)}
_NEEDED.add(str(PROGRAMS))
_AS_NOBODY = (
    *(str(PROGRAMS / "passable"), *sorted(_NEEDED), "--"),
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
)
UNPRIVILEGED = (*_AS_NOBODY, "--bounding-set=-all", "--inh-caps=-all", "--")
NET_ADMIN_ONLY = (
    *_AS_NOBODY,
    *(f"--{which}=-all,+net_admin" for which in ("bounding-set", "inh-caps", "ambient-caps")),
    "--",
)

# As `Daemon(program=(OLDER_KERNEL, FLAGS))`: a kernel that knows only these flags of a table.
OLDER_KERNEL = str(PROGRAMS / "older_kernel.py")
IMPATIENT = str(PROGRAMS / "impatient.py")  # looks after its connections every second


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
        self.directory.chmod(0o755)  # for a daemon that is not root's
        (self.directory / "notify").chmod(0o777)
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

    def wait_notified(self, pattern: str, *, since: int = 0, timeout: float = TIMEOUT) -> None:
        """Wait for a notification, such as "READY=1", that matches, from number `since` on."""

        def found() -> bool | None:
            return any(re.fullmatch(pattern, told) for told in self.notified[since:]) or None

        self.wait_news(found, pattern, timeout)

    def _hear(self) -> None:
        """Read all that it tells, as a service manager does: a full socket would block it."""
        while True:
            told = self._notify.recv(65536).decode().splitlines()
            with self._news:
                self.notified += told
                self._news.notify_all()


def cgtproxy(*arguments: str, wrapper: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command of the program that ends by itself."""
    command = [*wrapper, sys.executable, "-m", "cgtproxy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
