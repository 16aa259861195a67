"""Descriptors and timers behind one descriptor, so that a monitor of many is watched as one."""

from __future__ import annotations

import ctypes
import heapq
import os
import select
import time
from collections.abc import Callable

from cgtproxy.errors import CgtproxyError

Callback = Callable[[], None]

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_TimerSpec = ctypes.c_long * 4  # struct itimerspec: interval, value; seconds, nanoseconds


class Hub:
    """Its descriptor is readable while something is to be done: run() does it."""

    def __init__(self) -> None:
        self._timer: int = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._timer < 0:
            raise CgtproxyError(f"cannot make a timer: {os.strerror(ctypes.get_errno())}")
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._due: list[tuple[float, int, Callback]] = []
        self._number = 0
        self.watch(self._timer, self._on_time)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()
        os.close(self._timer)

    def watch(self, fd: int, callback: Callback) -> None:
        """Call back while there is something to read, or to write if write() says so."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, select.EPOLLIN)

    def write(self, fd: int, wanted: bool) -> None:
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def unwatch(self, fd: int) -> None:
        del self._callbacks[fd]
        self._epoll.unregister(fd)

    def after(self, seconds: float, callback: Callback) -> None:
        self._number += 1
        heapq.heappush(self._due, (time.monotonic() + seconds, self._number, callback))
        self._set_timer()

    def run(self, seconds: float = 0) -> None:
        """Do what is to be done now; wait for it up to so long."""
        for fd, _ in self._epoll.poll(seconds):
            if callback := self._callbacks.get(fd):
                callback()

    def _on_time(self) -> None:
        os.read(self._timer, 8)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._due:
            # A time of zero would disarm it.
            wait = max(1e-9, self._due[0][0] - time.monotonic())
            spec = _TimerSpec(0, 0, int(wait), max(1, int(wait % 1 * 1e9)))
            _libc.timerfd_settime(self._timer, 0, spec, None)
