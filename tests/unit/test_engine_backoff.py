"""How soon a fault is mended that comes back again and again."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.engine.backoff import FIRST, FORGIVEN_AFTER, FREE, LONGEST, Backoff


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
    delays = [struck(FREE + number).delay(100.0) for number in range(1, 12)]
    assert delays[0] == FIRST
    for before, after in pairwise(delays):
        assert after == min(2 * before, LONGEST)
    assert delays[-1] == LONGEST
    assert struck(100_000).delay(100.0) == LONGEST
    assert struck(FREE + 1).degraded(100.0)


def test_a_quiet_while_is_forgiven():
    backoff = struck(FREE + 5)
    assert backoff.degraded(100.0 + FORGIVEN_AFTER)
    later = 100.1 + FORGIVEN_AFTER
    assert not backoff.degraded(later)
    assert backoff.delay(later) == 0.0
    backoff.strike(later)
    assert backoff.delay(later) == 0.0
    assert not backoff.degraded(later)


@given(st.lists(st.floats(0, 30), max_size=200))
def test_mending_is_never_put_off_for_ever_nor_in_a_busy_loop(pauses):
    """However faults come, no more than FREE of them are mended at once without a quiet while."""
    backoff, now, at_once = Backoff(), 0.0, 0
    for pause in pauses:
        now += pause
        at_once = 0 if pause > FORGIVEN_AFTER else at_once
        delay = backoff.delay(now)
        assert 0.0 <= delay <= LONGEST
        at_once += delay == 0.0
        assert at_once <= FREE + 1
        backoff.strike(now)
