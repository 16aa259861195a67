"""Thousands of flows at once through a TPROXY server, and what they cost it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from .cgroup import Cgroup
from .network import OUTSIDE
from .program import Program

PROGRAM = str(Path(__file__).parent / "programs" / "crowd.py")
PORT = 7200
TIMEOUT = 90.0  # seconds


class CrowdServer(Program):
    """Out in the world; it sends back what it gets, at every address."""

    def __init__(self) -> None:
        super().__init__([*OUTSIDE, sys.executable, "-IS", PROGRAM, "serve", str(PORT)])

    def start(self) -> CrowdServer:
        super().start()
        self.wait_line("^ready$")
        return self


class Crowd(Program):
    """So many flows of one process, to the addresses in turn; they begin with the first ask()."""

    def __init__(
        self, cgroup: Cgroup, protocol: str, count: int, *addresses: str, patience: float = 60
    ) -> None:
        options = [protocol, str(PORT), str(patience), str(count), *addresses]
        super().__init__([sys.executable, "-IS", PROGRAM, "run", *options], cgroup=cgroup)

    def ask(self) -> dict[str, int]:
        """How many flows are "right", and how many have failed by which exception."""
        known = len(self.lines)
        self.write("\n")
        told = self.wait_line("", since=known, timeout=TIMEOUT)
        outcomes = [outcome.split() for outcome in told.split(",")]
        return {how: int(count) for count, how in outcomes}

    def close(self) -> None:
        """End all flows."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.wait() == 0, self


class Usage(NamedTuple):
    descriptors: int
    memory: int  # bytes

    @classmethod
    def of(cls, *pids: int) -> Usage:
        """Of these processes together."""
        descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
        return cls(descriptors, sum(_status(pid, "VmRSS") for pid in pids))


def virtual_memory(pid: int) -> int:
    """What RLIMIT_AS limits: bytes."""
    return _status(pid, "VmSize")


def _status(pid: int, key: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024
