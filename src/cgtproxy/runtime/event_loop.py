"""The event loop: file descriptors, timers, signals, on epoll(7).

asyncio would cost 8 MB and 25 ms at each start, for a program that awaits nothing: every request
it makes is answered inside the system call.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from cgtproxy.errors import CgtproxyError

Callback = Callable[[], None]

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_TimerSpec = ctypes.c_long * 4  # struct itimerspec: interval, value; seconds, nanoseconds


class Readable(Protocol):
    """What has a file descriptor: a socket, a pipe, another loop."""

    def fileno(self) -> int:
        """The descriptor."""


class EventLoop:
    """Callbacks run one after the other, in the thread that runs the loop.

    A subclass may have a run() of its own, and watch descriptors for other events than watch()
    does: `_epoll`, `_readers`, `_timers` and `_run_timers` are for subclasses, too.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callback]] = []
        self._timer_number = 0
        self._signals: dict[int, Callback] = {}
        self._wake: socket.socket | None = None
        self._running = False

    def watch(self, source: Readable, callback: Callback) -> None:
        """Call back whenever there is something to read."""
        self._readers[source.fileno()] = callback
        self._epoll.register(source.fileno(), select.EPOLLIN)

    def watch_writable(self, source: Readable, wanted: bool) -> None:
        """Whether to call back, too, whenever a watched `source` can be written to."""
        self._epoll.modify(source.fileno(), select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def unwatch(self, source: Readable) -> None:
        """Call back no more; before `source` is closed."""
        del self._readers[source.fileno()]
        self._epoll.unregister(source.fileno())

    def after(self, delay: float, callback: Callback) -> None:
        """Call back once, `delay` seconds from now."""
        self._timer_number += 1
        heapq.heappush(self._timers, (time.monotonic() + delay, self._timer_number, callback))

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back after each such signal. One loop of the process can do that."""
        if self._wake is None:
            self._wake, self._wakeup = socket.socketpair()
            self._wake.setblocking(False)
            self._wakeup.setblocking(False)
            signal.set_wakeup_fd(self._wakeup.fileno())
            self.watch(self._wake, self._signalled)
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)

    def stop(self) -> None:
        """End run(), after the callbacks that are due now."""
        self._running = False

    def run(self) -> None:
        """Until stop(); an exception in a callback ends it."""
        self._running = True
        while self._running:
            self.turn(None)

    def turn(self, seconds: float | None) -> None:
        """Call back for what is due, waiting for it up to so long; None: as long as it takes."""
        for fd, _ in self._epoll.poll(self._timeout(seconds)):
            if callback := self._readers.get(fd):
                callback()
        self._run_timers()

    def _timeout(self, longest: float | None) -> float | None:
        if not self._timers:
            return longest
        due = max(0.0, self._timers[0][0] - time.monotonic())
        return due if longest is None else min(due, longest)

    def _run_timers(self) -> None:
        # Only what is due by now: a timer that sets itself again must not keep out all others.
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _signalled(self) -> None:
        assert self._wake
        for number in self._wake.recv(64):
            if callback := self._signals.get(number):
                callback()


class NestedLoop(EventLoop):
    """A loop that another one watches as a whole, and gives a turn when it is readable.

    Raises CgtproxyError where there can be no more descriptors.
    """

    def __init__(self) -> None:
        super().__init__()
        self._timer = _Timer()
        self.watch(self._timer, self._timer.read)

    def fileno(self) -> int:
        """The descriptor, readable when there is something to do in a turn."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()
        self._timer.close()

    def after(self, delay: float, callback: Callback) -> None:
        """As EventLoop.after()."""
        super().after(delay, callback)
        self._set_timer()

    def turn(self, seconds: float | None = 0) -> None:
        """As EventLoop.turn(); by default without waiting."""
        super().turn(seconds)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timers:
            self._timer.set(self._timers[0][0] - time.monotonic())


class _Timer:
    """timerfd_create(2), which Python has from 3.13 on."""

    def __init__(self) -> None:
        self._fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise CgtproxyError(f"cannot make a timer: {os.strerror(ctypes.get_errno())}")

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def set(self, seconds: float) -> None:
        """Be readable once so many seconds have passed, and not before."""
        nanoseconds = max(1, int(seconds * 1e9))  # 0 would disarm it
        spec = _TimerSpec(0, 0, *divmod(nanoseconds, 10**9))
        _libc.timerfd_settime(self._fd, 0, spec, None)

    def read(self) -> None:
        """Be readable no more, until it is set again."""
        with suppress(BlockingIOError):  # set again by a callback that came before
            os.read(self._fd, 8)
