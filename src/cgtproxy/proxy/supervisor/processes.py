"""Processes that the supervisor forks, and starts again when they end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import traceback
from collections.abc import Callable

from cgtproxy.runtime.event_loop import Callback, EventLoop

FIRST_DELAY, LONGEST_DELAY = 0.05, 5.0  # seconds before one is replaced
SETTLED = 10.0  # seconds one must live to count as healthy
_NO_MEMORY = errno.ENOMEM  # an exit code
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

log = logging.getLogger("cgtproxy")


def spawn(what: str, run: Callable[[], None]) -> int:
    """The id of a process that ends with `run`. It has all descriptors of this one.

    Raises OSError where there can be no more processes.
    """
    # What is sent before it has handlers of its own would be written to this process's loop.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        run()
        code = 0
    except MemoryError:
        code = _NO_MEMORY  # not even to log; the supervisor does
    except BaseException:
        log.error("%s failed: %s", what, traceback.format_exc())
    finally:
        os._exit(code)  # nothing of the supervisor's must run at the end of its copy


def describe(status: int) -> str:
    """How a process ended, by what waitpid(2) says."""
    code = os.waitstatus_to_exitcode(status)
    if code == _NO_MEMORY:
        return "out of memory"
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


class Restarts:
    """Later and later, as long as they do not help."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._delay = FIRST_DELAY
        self._latest = 0

    def later(self, start: Callback) -> None:
        self._latest += 1
        latest = self._latest
        self._loop.after(self._delay, start)
        self._loop.after(self._delay + SETTLED, lambda: self._settle(latest))
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _settle(self, number: int) -> None:
        if number == self._latest:
            self._delay = FIRST_DELAY
