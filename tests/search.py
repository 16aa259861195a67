"""Searches at random: each takes a fixed time and tells its seed, in what pytest has captured.

SEARCH_SEED repeats one, SEARCH_SECONDS makes them longer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

SECONDS = os.environ.get("SEARCH_SECONDS")


def seeded() -> random.Random:
    seed = os.environ.get("SEARCH_SEED") or str(random.randrange(10**6))
    print(f"SEARCH_SEED={seed}")
    return random.Random(seed)


def lasting(seconds: float, clock: Callable[[], float] = time.process_time) -> Iterator[int]:
    """0, 1, 2... for so many seconds, by default of this process' CPU time: however busy the
    machine is, the search goes as far."""
    end = clock() + float(SECONDS or seconds)
    number = 0
    while clock() < end:
        yield number
        number += 1
