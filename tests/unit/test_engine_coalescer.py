"""When events are coalesced: told by the times at which work comes up and ends."""

from __future__ import annotations

from cgtproxy.engine.coalescer import IDLE, PAUSE, UNDELAYED, Coalescer


def delays(coalescer: Coalescer, begin: float, gap: float, rounds: int) -> list[float]:
    """Of so many rounds of work, each coming up `gap` seconds after the end of the one before."""
    seen = []
    for number in range(rounds):
        now = begin + number * gap
        seen.append(coalescer.delay(now))
        coalescer.end(now)
    return seen


def test_single_events_are_never_delayed() -> None:
    assert set(delays(Coalescer(), 100.0, 2 * IDLE, 10 * UNDELAYED)) == {0.0}


def test_a_handful_at_once_is_not_delayed() -> None:
    assert set(delays(Coalescer(), 100.0, IDLE / 10, UNDELAYED)) == {0.0}


def test_a_burst_is_delayed_until_it_is_over() -> None:
    coalescer = Coalescer()
    assert delays(coalescer, 100.0, IDLE / 10, UNDELAYED + 3)[UNDELAYED:] == [PAUSE] * 3
    assert coalescer.delay(101.0) == 0.0
