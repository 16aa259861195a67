"""The server's event loop: the daemon's, with edge-triggered sockets besides.

A socket is registered once, for all events, and hardly ever changed (epoll_ctl(2) a connection, not
a transfer). So a handler must read or write until EAGAIN, or ask to be called again with soon().

Sockets are made in what soon() and later() call, never in a handler: a descriptor closed by one
handler and used again by another would get the events that the kernel reported for its forerunner.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from select import (
    EPOLLERR,
    EPOLLET,
    EPOLLEXCLUSIVE,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLPRI,
    EPOLLRDHUP,
)
from typing import Protocol

from cgtproxy.runtime.event_loop import Callback, EventLoop, Readable

Handler = Callable[[int], None]

READABLE = EPOLLIN | EPOLLRDHUP | EPOLLHUP
WRITABLE = EPOLLOUT
FAILED = EPOLLERR
HUNG_UP = EPOLLRDHUP
URGENT = EPOLLPRI
_EVERYTHING = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET
_BATCH = 256


class Reactor(EventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.handlers: dict[int, Handler] = {}
        self._ready: deque[Callback] = deque()
        self._late: deque[Callback] = deque()
        self._bulk: set[int] = set()  # of the transfers that had turns since others had the CPU

    def watch_shared(self, source: Readable, callback: Callback) -> None:
        """As watch(), where other processes watch the same: the kernel wakes the first of them
        that waits, in the order in which they began."""
        self._readers[source.fileno()] = callback
        self._epoll.register(source.fileno(), EPOLLIN | EPOLLEXCLUSIVE)

    def register(self, fd: int, handler: Handler) -> None:
        """Call `handler` with the mask of each event; it gets those that are pending at once."""
        self.handlers[fd] = handler
        self._epoll.register(fd, _EVERYTHING)

    def register_datagrams(self, fd: int, handler: Handler) -> None:
        """As register(), but not told when it can be written to: after each datagram, that is."""
        self.handlers[fd] = handler
        self._epoll.register(fd, EPOLLIN | EPOLLET)

    def mute(self, fd: int) -> None:
        """Until unmute(), do not tell that it can be read from."""
        self._epoll.modify(fd, EPOLLOUT | EPOLLET)

    def unmute(self, fd: int) -> None:
        """And tell at once if it can."""
        self._epoll.modify(fd, _EVERYTHING)

    def forget(self, fd: int) -> None:
        """Before a registered descriptor is closed, which takes it out of epoll."""
        self.handlers.pop(fd, None)

    def drop(self, fd: int) -> None:
        """As forget(), where another process may have the descriptor, too: then closing it does
        not take it out of epoll (epoll(7), question 6)."""
        self.forget(fd)
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)

    def leave(self) -> None:
        """In another process, which is to have none of our connections. Their descriptors stay
        taken, as objects have them."""
        null = os.open(os.devnull, os.O_RDONLY)
        for fd in self.handlers:
            os.dup2(null, fd, inheritable=False)
        os.close(null)
        self._epoll.close()

    def soon(self, callback: Callback) -> None:
        """Call back after the events that are being handled, and before waiting for others."""
        self._ready.append(callback)

    def later(self, callback: Callback) -> None:
        """As soon(), but after those: who accepts must not keep the accepted from getting on."""
        self._late.append(callback)

    def moved_bulk(self, fd: int) -> None:
        """Say that a transfer from `fd` has had a turn, as long as a hundred of others."""
        self._bulk.add(fd)

    def run(self) -> None:
        self._running = True
        poll, handler_of, reader_of = self._epoll.poll, self.handlers.get, self._readers.get
        ready, late, timers = self._ready, self._late, self._timers
        monotonic = time.monotonic
        timeout: float | None = 0
        while self._running:
            for fd, mask in poll(timeout, _BATCH):
                if handler := handler_of(fd):
                    handler(mask)
                elif reader := reader_of(fd):
                    reader()
            if len(self._bulk) > 1:
                # Where there is no CPU for the transfers' ends we would move little each time. But
                # for one transfer alone, whoever else has a connection is not made to wait.
                os.sched_yield()
                self._bulk.clear()
            if ready or late:
                self._run_queues()
            # Whom we have just sent something often waits for this CPU, so this is kept short.
            timeout = None
            if timers and (timeout := timers[0][0] - monotonic()) <= 0:
                self._run_timers()
                timeout = 0
            if ready or late:
                timeout = 0

    def _run_queues(self) -> None:
        for queue in (self._ready, self._late):
            for _ in range(len(queue)):
                queue.popleft()()


class Perishable(Protocol):
    def expire(self) -> None: ...


class Deadlines:
    """Many things that all get the same time: adding and removing one is a dict operation."""

    def __init__(self, loop: EventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._due: dict[Perishable, float] = {}  # in the order of their time
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._due)

    def add(self, item: Perishable) -> None:
        self._due[item] = time.monotonic() + self._seconds
        if not self._scheduled:
            self._scheduled = True
            self._loop.after(1.0, self._sweep)

    def remove(self, item: Perishable) -> None:
        self._due.pop(item, None)

    def _sweep(self) -> None:
        now = time.monotonic()
        for item, due in list(self._due.items()):
            if due > now:
                break
            del self._due[item]
            item.expire()
        self._scheduled = bool(self._due)
        if self._scheduled:
            self._loop.after(1.0, self._sweep)


__all__ = [
    "FAILED",
    "HUNG_UP",
    "READABLE",
    "URGENT",
    "WRITABLE",
    "Deadlines",
    "Handler",
    "Reactor",
    "Readable",
]
