"""Processes that the supervisor forks, and starts again when they end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
import traceback
from collections.abc import Callable

from cgtproxy.runtime.backoff import Backoff
from cgtproxy.runtime.event_loop import Callback, EventLoop

FIRST_DELAY, LONGEST_DELAY = 0.05, 5.0  # seconds before one is replaced
FORGIVEN = 0.1  # ends of processes, a second
_NO_MEMORY = errno.ENOMEM  # an exit code
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

log = logging.getLogger("cgtproxy")


def spawn(what: str, run: Callable[[], None]) -> int:
    """Fork a process that calls `run` and ends: its id. It inherits all descriptors.

    `what` is its name in the log. Raises OSError where no more processes can be made.
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
    """Starts again what has ended: the sooner it ends again, the later."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, leak=FORGIVEN)

    def later(self, start: Callback) -> None:
        """Call `start` once, after the delay."""
        now = time.monotonic()
        self._backoff.failed(now)
        self._loop.after(self._backoff.delay(now), start)
