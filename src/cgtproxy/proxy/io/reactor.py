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
    """The event loop of the server's processes: calls a handler for each event of a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers: dict[int, Handler] = {}
        self._ready: deque[Callback] = deque()
        self._late: deque[Callback] = deque()

    def watch_shared(self, source: Readable, callback: Callback) -> None:
        """Like watch(), for a descriptor that other processes watch, too.

        For each event the kernel wakes one of them: the first that waits, in the order in which
        they began to watch (EPOLLEXCLUSIVE, epoll_ctl(2)).
        """
        self._readers[source.fileno()] = callback
        self._epoll.register(source.fileno(), EPOLLIN | EPOLLEXCLUSIVE)

    def register(self, fd: int, handler: Handler) -> None:
        """Have epoll report all events of `fd`, which `handler` is called with, as a mask.

        What is the case already counts as an event. Raises OSError as epoll_ctl(2).
        """
        self._handlers[fd] = handler
        self._epoll.register(fd, _EVERYTHING)

    def register_datagrams(self, fd: int, handler: Handler) -> None:
        """Like register(), but without WRITABLE, which would be reported after each datagram."""
        self._handlers[fd] = handler
        self._epoll.register(fd, EPOLLIN | EPOLLET)

    def replace_handler(self, fd: int, handler: Handler) -> None:
        """From now on call `handler` for the events of `fd`, which is registered.

        Past events are not reported again: the new handler must be told of them, or try to read.
        """
        self._handlers[fd] = handler

    def mute(self, fd: int) -> None:
        """Until unmute(), report WRITABLE and failures of `fd` only."""
        self._epoll.modify(fd, EPOLLOUT | EPOLLET)

    def unmute(self, fd: int) -> None:
        """Report all events of `fd` again, beginning with what is the case now."""
        self._epoll.modify(fd, _EVERYTHING)

    def forget(self, fd: int) -> None:
        """Call nobody for `fd` any more, unless replace_handler() names somebody.

        This is to be called before close(2), which takes `fd` out of epoll.
        """
        self._handlers.pop(fd, None)

    def drop(self, fd: int) -> None:
        """Like forget(), for a descriptor that another process may have inherited.

        close(2) does not take such a one out of epoll (epoll(7), question 6); this does.
        """
        self.forget(fd)
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)

    def leave(self) -> None:
        """In a forked process, give up the parent's connections and its epoll descriptor.

        The connections' descriptors then refer to /dev/null: they stay taken, as there are still
        objects that hold and close them.
        """
        null = os.open(os.devnull, os.O_RDONLY)
        for fd in self._handlers:
            os.dup2(null, fd, inheritable=False)
        os.close(null)
        self._epoll.close()

    def soon(self, callback: Callback) -> None:
        """Call back once, after the events of this turn and before epoll is asked for others."""
        self._ready.append(callback)

    def later(self, callback: Callback) -> None:
        """Like soon(), but after all callbacks of soon().

        New connections are accepted here, so that they never delay those that are open.
        """
        self._late.append(callback)

    def run(self) -> None:
        """Until stop(); an exception in a handler or callback ends it."""
        self._running = True
        poll, handler_of, reader_of = self._epoll.poll, self._handlers.get, self._readers.get
        ready, late, timers = self._ready, self._late, self._timers
        monotonic = time.monotonic
        timeout: float | None = 0
        while self._running:
            for fd, mask in poll(timeout, _BATCH):
                if handler := handler_of(fd):
                    handler(mask)
                elif reader := reader_of(fd):
                    reader()
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
    """What has a limited time."""

    def expire(self) -> None:
        """The time is up."""


class Deadlines:
    """Many things that all have the same number of seconds, told when these are over.

    Adding and removing one is a dict operation. The end may be told a second late.
    """

    def __init__(self, loop: EventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._due: dict[Perishable, float] = {}  # in the order of their time
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._due)

    def add(self, item: Perishable) -> None:
        """Have item.expire() called after the time, unless remove() is."""
        self._due[item] = time.monotonic() + self._seconds
        if not self._scheduled:
            self._scheduled = True
            self._loop.after(1.0, self._sweep)

    def remove(self, item: Perishable) -> None:
        """Do nothing to `item`, if it is here."""
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
