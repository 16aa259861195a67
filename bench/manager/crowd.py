"""The cgroups that the candidates are watched with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import bed

SLICE = "app.slice"  # the rules of candidate.CONFIG decide on everything below it


class Crowd:
    """Makes and removes cgroups below SLICE, by name, with as little else as can be."""

    def __init__(self) -> None:
        self._directory = os.open(bed.Cgroup(SLICE).directory, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self._directory)

    def mkdir(self, name: str) -> None:
        os.mkdir(name, dir_fd=self._directory)

    def rmdir(self, name: str) -> None:
        os.rmdir(name, dir_fd=self._directory)

    def id(self, name: str) -> int:
        return os.stat(name, dir_fd=self._directory).st_ino

    def ids(self) -> set[int]:
        """Of all that are there: what a candidate should have told the kernel."""
        with os.scandir(self._directory) as entries:
            return {entry.inode() for entry in entries if entry.is_dir()}


@contextmanager
def crowd(count: int = 0) -> Iterator[Crowd]:
    """A crowd that already has `count` cgroups."""
    with bed.Cgroup(SLICE):
        made = Crowd()
        for number in range(count):
            made.mkdir(f"old-{number}.scope")
        yield made
        made.close()
