"""How soon something is tried again that fails again and again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.runtime.backoff import Backoff

FIRST, LONGEST, BURST = 0.05, 5.0, 20
DOUBLINGS = 7  # from FIRST to LONGEST


def make(*, leak: float = 1.0, burst: int = BURST) -> Backoff:
    return Backoff(FIRST, LONGEST, leak=leak, burst=burst)


def failed(times: int, backoff: Backoff, now: float = 100.0) -> Backoff:
    for _ in range(times):
        backoff.failed(now)
    return backoff


def test_what_never_failed_does_not_wait() -> None:
    assert make(burst=0).delay(100.0) == 0.0


@pytest.mark.parametrize("times", range(BURST + 1))
def test_a_burst_of_failures_does_not_wait(times: int) -> None:
    assert failed(times, make()).delay(100.0) == 0.0
    assert not failed(times, make()).exceeded(100.0)


@pytest.mark.parametrize("burst", [0, BURST])
def test_then_each_waits_twice_as_long_up_to_a_limit(burst: int) -> None:
    numbers = range(burst + 1, burst + DOUBLINGS + 3)
    delays = [failed(number, make(burst=burst)).delay(100.0) for number in numbers]
    assert delays[0] == FIRST
    for before, after in pairwise(delays):
        assert after == min(2 * before, LONGEST)
    assert delays[-1] == LONGEST
    assert failed(burst + 1, make(burst=burst)).exceeded(100.0)


def test_what_is_over_is_forgiven_soon() -> None:
    backoff = failed(100_000, make())
    over = 100.0 + DOUBLINGS + 1
    assert backoff.exceeded(over - 0.1)
    assert not backoff.exceeded(over)
    assert backoff.delay(over) == 0.0


def test_a_success_forgives_all() -> None:
    backoff = failed(100, make(burst=0))
    backoff.succeeded()
    assert backoff.delay(100.0) == 0.0
    assert failed(1, backoff).delay(100.0) == FIRST


def test_rare_failures_do_not_add_up() -> None:
    backoff = make(leak=0.1, burst=0)
    for now in range(0, 10_000, 11):
        backoff.failed(now)
        assert backoff.delay(now) == FIRST


def test_what_fails_at_once_for_ever_is_tried_about_as_often_as_it_is_forgiven() -> None:
    backoff, now, tries = make(), 0.0, 0
    while now < 1000:
        now += backoff.delay(now)
        backoff.failed(now)
        tries += 1
    assert 900 < tries < 1100


@given(st.lists(st.floats(0, 30), max_size=200))
def test_no_more_are_tried_at_once_than_the_bucket_holds(pauses: list[float]) -> None:
    backoff, now, at_once = make(), 0.0, 0
    for pause in pauses:
        now += pause
        delay = backoff.delay(now)
        assert 0.0 <= delay <= LONGEST
        at_once += delay == 0.0
        assert at_once <= BURST + 1 + now
        backoff.failed(now)
