"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
TIMEOUT = 30.0  # seconds; far above what anything here takes, so that a busy machine passes
_INTERVAL = 0.002


def wait_until(condition: Callable[[], T], what: str, timeout: float = TIMEOUT) -> T:
    """The first true value of `condition`; AssertionError, naming `what`, after `timeout` s."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}; last seen: {value!r}")
        time.sleep(_INTERVAL)
    return value
