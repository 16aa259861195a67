"""Real-time priority: the daemon has it from its unit, our clock lest other work delays it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

AS_THE_UNIT = ("chrt", "--rr", "1")  # a peer gets the same
ORDINARY = ("chrt", "--other", "0")


@contextmanager
def realtime() -> Iterator[None]:
    """For this process and what it starts meanwhile."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
