"""The daemon's event loop: file descriptors, timers, signals, on epoll(7).

asyncio would cost 10 MB and 70 ms at each start, for a program that awaits nothing: every request
it makes is answered inside the system call. The loop's epoll descriptor can itself be watched, so
an asyncio program can host it.
"""

from __future__ import annotations

import heapq
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Protocol

Callback = Callable[[], None]


class Readable(Protocol):
    def fileno(self) -> int: ...


class EventLoop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callback]] = []
        self._timer_number = 0
        self._signals: dict[int, Callback] = {}
        self._wake, wakeup = socket.socketpair()
        self._wake.setblocking(False)
        wakeup.setblocking(False)
        self._wakeup = wakeup
        signal.set_wakeup_fd(wakeup.fileno())
        self.watch(self._wake, self._signalled)
        self._running = False

    def watch(self, source: Readable, callback: Callback) -> None:
        """Call back whenever there is something to read."""
        self._readers[source.fileno()] = callback
        self._epoll.register(source.fileno(), select.EPOLLIN)

    def unwatch(self, source: Readable) -> None:
        del self._readers[source.fileno()]
        self._epoll.unregister(source.fileno())

    def after(self, delay: float, callback: Callback) -> None:
        """Call back once, `delay` seconds from now."""
        self._timer_number += 1
        heapq.heappush(self._timers, (time.monotonic() + delay, self._timer_number, callback))

    def on_signal(self, number: int, callback: Callback) -> None:
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until stop(); an exception in a callback ends it."""
        self._running = True
        while self._running:
            for fd, _ in self._epoll.poll(self._timeout()):
                if callback := self._readers.get(fd):
                    callback()
            self._run_timers()

    def _timeout(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        # Only what is due by now: a timer that sets itself again must not keep out all others.
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _signalled(self) -> None:
        for number in self._wake.recv(64):
            if callback := self._signals.get(number):
                callback()
