"""Cgroups of the bed's private tree, and programs born in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from .waiting import wait_until

ROOT = Path("/sys/fs/cgroup")


class Cgroup:
    """The cgroup at `path` relative to the root; any bytes but NUL and newline will do.

    As a context manager it is made, parents included, and at the end it is removed with all
    that is below it, processes included. Parents that it had to make are removed too.
    """

    def __init__(self, path: str | bytes) -> None:
        self.path = "/" + os.fsdecode(path).strip("/")
        self.directory = ROOT / self.path[1:]
        self._made: list[Path] = []

    def __repr__(self) -> str:
        return f"Cgroup({self.path!r})"

    @property
    def id(self) -> int:
        """The kernel's cgroup id, by which the socket expression of nftables finds it."""
        return self.directory.stat().st_ino

    def mkdir(self) -> Cgroup:
        for parent in reversed(self.directory.parents):
            if not parent.exists():
                parent.mkdir()
                self._made.append(parent)
        self.directory.mkdir()
        return self

    def rmdir(self) -> None:
        self.directory.rmdir()

    def spawn(self, argv: Sequence[str | bytes], **options: Any) -> subprocess.Popen[Any]:
        """Start `argv` in this cgroup: it is a member before its first instruction runs."""
        procs = os.open(self.directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            return subprocess.Popen(argv, preexec_fn=lambda: os.write(procs, b"0"), **options)
        finally:
            os.close(procs)

    def kill(self) -> None:
        """End every process in and below this cgroup, and wait until they are gone."""
        (self.directory / "cgroup.kill").write_text("1")
        events = self.directory / "cgroup.events"
        wait_until(lambda: "populated 0" in events.read_text(), f"{self!r} to be empty")

    def remove(self) -> None:
        """Kill and remove this cgroup, all below it, and the parents made for it."""
        if self.directory.exists():
            self.kill()
            for directory, _, _ in os.walk(self.directory, topdown=False):
                Path(directory).rmdir()
        while self._made:
            try:
                self._made.pop().rmdir()
            except OSError:  # somebody else's cgroup is in there
                break

    def __enter__(self) -> Cgroup:
        return self.mkdir()

    def __exit__(self, *_: object) -> None:
        self.remove()


MakeCgroup: TypeAlias = Callable[[str | bytes], Cgroup]  # of the fixture `cgroup`
