"""Which name gets which place."""

from __future__ import annotations

import pytest

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slots import IN_USE, Slots
from unit.fakeip_pools import LONG, Clock, slots_of, small


def full(bits: int) -> tuple[Pool, Clock]:
    """Place n has the name n, and was used in the nth second."""
    clock = Clock()
    pool = Pool(slots_of(bits, clock))
    for n in range(1, pool.ranges.size):
        assert pool.place_of(str(n)) == n
        clock.time += 1
    return pool, clock


def test_names_keep_their_places() -> None:
    pool, clock = full(4)
    clock.time += 10 * LONG
    assert [pool.place_of(str(n)) for n in range(14, 0, -1)] == list(range(14, 0, -1))
    assert [pool.name(n) for n in range(15)] == ["", *map(str, range(1, 15))]


def test_what_was_unused_for_longest_goes_first() -> None:
    pool, clock = full(4)
    clock.time += LONG
    pool.place_of("2")
    clock.time += 1
    pool.slots.touch(1)  # by a worker
    clock.time += LONG
    assert [pool.place_of(f"new {n}") for n in range(14)] == [*range(3, 15), 2, 1]
    assert pool.place_of("2") is None


def test_what_is_in_use_stays() -> None:
    pool, clock = full(4)
    assert pool.place_of("new") is None
    clock.time += IN_USE - 14
    assert pool.place_of("new") is None
    clock.time += 1  # more than five minutes after the first was used
    assert pool.place_of("new") == 1
    assert pool.place_of("newer") is None
    assert pool.name(1) == "new"


def test_it_is_told_that_there_is_no_place() -> None:
    pool, _ = full(4)
    told = []
    pool.on_full = lambda: told.append(True)
    assert (pool.place_of("new"), len(told)) == (None, 1)
    assert (pool.place_of("1"), len(told)) == (1, 1)


def test_workers_touches_count_even_for_those_next_in_line() -> None:
    pool, clock = full(4)
    clock.time += LONG
    assert pool.place_of("a") == 1
    assert 2 in pool.waiting()
    for place in range(2, 14):
        pool.slots.touch(place)
    assert pool.place_of("b") == 14
    assert pool.place_of("c") is None


def test_those_next_in_line_are_known_before_they_are_needed() -> None:
    """The store's promise rests on it."""
    pool, clock = full(6)
    clock.time += LONG
    pool.place_of("new")
    while (place := pool.place_of(f"newer {clock.time}")) and place < 50:
        clock.time += 1
        before = pool.waiting()
        assert pool.place_of(f"new {clock.time}") in before[:1]


class Watched(Slots):
    """What the store would see at the moment when a place gets its name."""

    def set(self, place: int, name: str) -> None:
        super().set(place, name)
        assert place in self.pool.waiting()
        assert not self.used(place) or not self.in_use(place)

    def touch(self, place: int, now: int | None = None) -> None:
        assert place in self.pool.waiting()
        super().touch(place, now)
        assert place not in self.pool.waiting()

    pool: Pool


def test_a_place_waits_or_is_in_use_whenever_the_store_looks() -> None:
    clock = Clock()
    slots = Watched(Ranges(small(4)), clock)
    slots.pool = Pool(slots)
    for number in range(100):
        clock.time += LONG / 10
        assert slots.pool.place_of(str(number))


def test_a_successor_finds_names_times_and_free_places() -> None:
    clock = Clock()
    slots = slots_of(4, clock)
    first = Pool(slots)
    for n in range(1, 11):
        first.place_of(str(n))
        clock.time += 1
    first.place_of("1")
    second = Pool(slots)
    assert [second.place_of(str(n)) for n in range(3, 11)] == list(range(3, 11))
    assert [second.place_of(f"more {n}") for n in range(4)] == [11, 12, 13, 14]
    assert second.place_of("too many") is None
    clock.time += LONG
    assert [second.place_of(f"new {n}") for n in range(3)] == [2, 1, 3]


def test_a_place_that_was_being_named_when_the_resolver_died() -> None:
    clock = Clock()
    slots = slots_of(4, clock)
    slots.set(1, "new")
    slots.touch(2)  # its name was being replaced
    pool = Pool(slots)
    assert [pool.place_of(name) for name in ("a", "b")] == [1, 3]
    assert pool.name(2) == ""


def test_one_of_two_places_with_one_name_loses_it() -> None:
    slots = slots_of(4, Clock())
    for place in (3, 5):
        slots.set(place, "twice")
        slots.touch(place)
    pool = Pool(slots)
    assert pool.place_of("twice") == 3
    assert pool.name(5) == ""


@pytest.mark.parametrize("name", ["", "bücher.example", "a" * 254])
def test_no_place_for_what_is_no_name(name: str) -> None:
    pool = Pool(slots_of(4, Clock()))
    with pytest.raises(ValueError, match="no name"):
        pool.place_of(name)
    assert [pool.place_of(str(n)) for n in range(1, 15)] == list(range(1, 15))


def test_a_pool_of_two() -> None:
    clock = Clock()
    pool = Pool(slots_of(2, clock))
    assert [pool.place_of(name) for name in "ab"] == [1, 2]
    clock.time += 1
    assert pool.place_of("a") == 1
    assert pool.place_of("c") is None
    clock.time += LONG
    assert [pool.place_of(name) for name in "cbd"] == [2, 1, None]


def test_the_largest_pool_full_and_used_again() -> None:
    clock = Clock()
    pool = Pool(Slots(Ranges(FakePool()), clock))
    places = range(1, pool.ranges.size)
    assert len(places) == 131070
    for place in places:
        assert pool.place_of(f"host-{place}.example.org") == place
    assert pool.place_of("one.more.example.org") is None
    clock.time += 1
    used_later = range(1, len(places), 3)
    for place in used_later:
        pool.slots.touch(place)
    clock.time += LONG
    got = [pool.place_of(f"new-{place}.example.org") for place in places]
    later = set(used_later)
    assert got == [place for place in places if place not in later] + list(used_later)
    assert pool.name(131070) in {f"new-{place}.example.org" for place in places}
