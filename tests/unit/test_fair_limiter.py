"""How permits are shared by clients who want more than there are."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.proxy.dns.fair_limiter import FairLimiter

CAPACITY = 1000


def take_all(limiter: FairLimiter, client: str) -> int:
    """How many it gets."""
    taken = 0
    while limiter.try_acquire(client):
        taken += 1
    return taken


def test_each_leaves_something_for_the_next() -> None:
    limiter = FairLimiter(CAPACITY)
    taken = [take_all(limiter, client) for client in "abcdefghijk"]
    assert taken == [500, 250, 125, 63, 31, 16, 8, 4, 2, 1, 0]
    assert limiter.usage("b") == "250 of b and 750 of others"
    assert limiter.usage("k") == "0 of k and 1000 of others"


@pytest.mark.parametrize("count", [1, 2, 9])
def test_in_the_long_run_all_get_the_same(count: int) -> None:
    """Each gives back what it has for the longest time, and asks for more at once."""
    limiter = FairLimiter(CAPACITY)
    clients = "abcdefghi"[:count]
    held = Counter({client: take_all(limiter, client) for client in clients})
    for _ in range(CAPACITY):
        for client in clients:
            limiter.release(client)
            held[client] -= 1
        for client in clients:
            held[client] += take_all(limiter, client)
    assert all(abs(number - CAPACITY / (count + 1)) <= count for number in held.values())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_who_has_less_than_is_free_gets_one(events: list[tuple[str, bool]]) -> None:
    limiter, held = FairLimiter(7), Counter[str]()
    for client, takes in events:
        if takes:
            gets = held[client] < 7 - held.total()
            assert limiter.try_acquire(client) == gets
            held[client] += gets
        elif held[client]:
            limiter.release(client)
            held[client] -= 1


def test_those_who_have_gone_leave_nothing_behind() -> None:
    limiter = FairLimiter(CAPACITY)
    for number in range(CAPACITY):
        assert limiter.try_acquire(f"client {number}")
        limiter.release(f"client {number}")
    assert not limiter._held
    assert take_all(limiter, "another") == CAPACITY // 2
