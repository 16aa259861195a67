"""When events are left to gather: told by the times at which work comes up and ends."""

from __future__ import annotations

from cgtproxy.engine.flood import CALM, FREE, PAUSE, Flood


def delays(flood: Flood, begin: float, gap: float, rounds: int) -> list[float]:
    """Of so many rounds of work, each coming up `gap` seconds after the end of the one before."""
    seen = []
    for number in range(rounds):
        now = begin + number * gap
        seen.append(flood.delay(now))
        flood.end(now)
    return seen


def test_single_events_never_wait():
    assert set(delays(Flood(), 100.0, 2 * CALM, 10 * FREE)) == {0.0}


def test_a_handful_at_once_does_not_wait():
    assert set(delays(Flood(), 100.0, CALM / 10, FREE)) == {0.0}


def test_a_flood_waits_until_it_calms_down():
    flood = Flood()
    assert delays(flood, 100.0, CALM / 10, FREE + 3)[FREE:] == [PAUSE] * 3
    assert flood.delay(101.0) == 0.0
