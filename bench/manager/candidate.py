"""A program that is measured, and what can be known about it while it runs."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bed

from .crowd import Crowd
from .notices import Notices
from .realtime import AS_THE_UNIT

# For any program that reads the forerunner's configuration.
CONFIG = """\
version: 1
cgroup-root: /sys/fs/cgroup
route-table: 300
bypass: [127.0.0.0/8, 192.168.0.0/16, "::1/128"]
tproxies:
  first: {port: 10001, mark: 3000}
rules:
  - {match: '/system\\.slice/.*', direct: true}
  - {match: '/blocked\\.slice/.*', drop: true}
  - {match: '/app\\.slice/.*', tproxy: first}
"""
MORE_RULE = "  - {{match: '/app-{}\\.slice/.*', tproxy: first}}\n"
QUIET = 0.3  # seconds without work after which nothing is coming that counts
START_TIMEOUT = 60.0


class Candidate(NamedTuple):
    name: str
    argv: Sequence[str]

    @contextmanager
    def running(
        self, *, scheduling: Sequence[str] = AS_THE_UNIT, more_rules: int = 0
    ) -> Iterator[Running]:
        """With `more_rules` besides those of CONFIG, which match nothing."""
        rules = "".join(map(MORE_RULE.format, range(more_rules)))
        with bed.Cgroup("candidate") as home:
            running = Running(self, home, CONFIG + rules, scheduling)
            try:
                yield running
            finally:
                running.stop()
        bed.reset()


class Memory(NamedTuple):
    """In bytes."""

    pss: int
    rss: int


class Running:
    """`began` is the moment before fork and exec, in monotonic seconds."""

    def __init__(
        self, candidate: Candidate, home: bed.Cgroup, text: str, scheduling: Sequence[str]
    ) -> None:
        self._name = candidate.name
        self._home = home
        self._log = Path(f"/run/{candidate.name}.log")
        config = Path("/run/bench.yaml")
        config.write_text(text)
        notify = Path("/run/bench-notify")
        notify.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(notify))
        self.notices = Notices()
        with self._log.open("wb") as log:
            self.began = time.monotonic()
            self._process = home.spawn(
                [*scheduling, *candidate.argv, "-c", str(config)],
                env={**os.environ, "NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        code = self._process.poll()
        if code is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
        self._notify.close()
        self.notices.close()
        if code is not None:
            raise AssertionError(f"{self._name} ended by itself: {self._log.read_text()[-2000:]}")

    def wait_ready(self, timeout: float = START_TIMEOUT) -> float | None:
        """When it sent READY=1, None for a program that does not."""
        while select.select([self._notify], [], [], timeout)[0]:
            if b"READY=1" in self._notify.recv(4096).split(b"\n"):
                return time.monotonic()
        return None

    def wait_watching(self, crowd: Crowd) -> None:
        """Until it acts on new cgroups, found out by making some; they are gone afterwards."""
        self._notify.close()  # full of what nobody reads it would block the sender
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            crowd.mkdir("canary.scope")
            canary = crowd.id("canary.scope")
            heard = self.notices.wait_inside(canary, 0.5)
            crowd.rmdir("canary.scope")
            if heard is not None:
                self.notices.wait_outside(canary, 2)
                return
        raise AssertionError(f"{self._name} does nothing: {self._log.read_text()[-2000:]}")

    def cpu(self) -> float:
        """Seconds of user and system time so far, of all its threads and of what it ran."""
        stat = (self._home.directory / "cpu.stat").read_text()
        return int(stat.split()[1]) / 1e6  # usage_usec

    def wait_quiet(self) -> None:
        """Until it has nothing left to do."""
        used, since = self.cpu(), time.monotonic()
        while time.monotonic() - since < QUIET:
            time.sleep(0.05)
            if (now := self.cpu()) != used:
                used, since = now, time.monotonic()

    def memory(self) -> Memory:
        total = {"Pss": 0, "Rss": 0}
        for pid in (self._home.directory / "cgroup.procs").read_text().split():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for key, kilobytes in re.findall(r"^(Pss|Rss): +(\d+) kB", rollup, re.MULTILINE):
                total[key] += int(kilobytes) * 1024
        return Memory(total["Pss"], total["Rss"])
