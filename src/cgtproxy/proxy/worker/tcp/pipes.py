"""Pipes for splice(2), lent while a direction is in the middle of a bulk transfer."""

from __future__ import annotations

import fcntl
import logging
import os
from typing import NamedTuple

SIZE = 1 << 20

log = logging.getLogger("cgtproxy")


class Pipe(NamedTuple):
    """Both descriptors of a pipe; they do not block."""

    reader: int
    writer: int


class Pipes:
    """The pipes of a process, at most `limit`; a direction that gets none copies instead."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._made = 0
        self._free: list[Pipe] = []

    def take(self) -> Pipe | None:
        """An empty pipe, or None if all are lent and there can be no more."""
        if self._free:
            return self._free.pop()
        return self._make() if self._made < self._limit else None

    def give_back(self, pipe: Pipe) -> None:
        """Return an empty pipe."""
        self._free.append(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe, with what is in it."""
        os.close(pipe.reader)
        os.close(pipe.writer)
        self._made -= 1

    def _make(self) -> Pipe | None:
        try:
            pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:  # no descriptors left
            return None
        self._made += 1
        try:
            fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, SIZE)
        except PermissionError:
            # From now on they get 8 KiB, and copying is faster.
            self.discard(pipe)
            self._limit = self._made
            why = "this user's pipes take all of /proc/sys/fs/pipe-user-pages-soft"
            log.warning("no more than %d pipes for bulk transfers: %s", self._made, why)
            return None
        return pipe
