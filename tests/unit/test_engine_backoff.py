"""How soon a fault is mended that comes back again and again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.engine.backoff import FIRST, FREE, LONGEST, MOST, Backoff


def struck(times: int, now: float = 100.0) -> Backoff:
    backoff = Backoff()
    for _ in range(times):
        backoff.strike(now)
    return backoff


def test_the_first_faults_are_mended_at_once():
    for times in range(FREE + 1):
        assert struck(times).delay(100.0) == 0.0
        assert not struck(times).degraded(100.0)


def test_then_each_waits_twice_as_long_up_to_a_limit():
    delays = [struck(number).delay(100.0) for number in range(FREE + 1, MOST + 3)]
    assert delays[0] == FIRST
    for before, after in pairwise(delays[: MOST - FREE]):
        assert after == min(2 * before, LONGEST)
    assert delays[-1] == LONGEST
    assert struck(FREE + 1).degraded(100.0)


def test_what_is_over_is_forgiven_soon():
    backoff = struck(100_000)
    over = 100.0 + MOST - FREE
    assert backoff.degraded(over - 0.1)
    assert not backoff.degraded(over)
    assert backoff.delay(over) == 0.0


def test_rare_faults_are_mended_at_once_for_ever():
    backoff = Backoff()
    for second in range(0, 1000, 2):
        assert backoff.delay(second) == 0.0
        backoff.strike(second)


def test_one_that_is_back_at_once_for_ever_is_mended_about_once_a_second():
    backoff, now, mended = Backoff(), 0.0, 0
    while now < 1000:
        now += backoff.delay(now)
        backoff.strike(now)
        mended += 1
    assert 900 < mended < 1100


@given(st.lists(st.floats(0, 30), max_size=200))
def test_no_more_are_mended_at_once_than_the_bucket_holds(pauses):
    backoff, now, at_once = Backoff(), 0.0, 0
    for pause in pauses:
        now += pause
        delay = backoff.delay(now)
        assert 0.0 <= delay <= LONGEST
        at_once += delay == 0.0
        assert at_once <= FREE + 1 + now
        backoff.strike(now)
