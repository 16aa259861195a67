"""Which name gets which slot."""

from __future__ import annotations

import pytest

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import IN_USE, SlotTable
from unit.fakeip_pools import LONG, Clock, small, table_of


def full(bits: int) -> tuple[Pool, Clock]:
    """Slot n has the name n, and was used in the nth second."""
    clock = Clock()
    pool = Pool(table_of(bits, clock))
    for n in range(1, pool.ranges.size):
        assert pool.slot_for(str(n)) == n
        clock.time += 1
    return pool, clock


def test_names_keep_their_places() -> None:
    pool, clock = full(4)
    clock.time += 10 * LONG
    assert [pool.slot_for(str(n)) for n in range(14, 0, -1)] == list(range(14, 0, -1))
    assert [pool.name(n) for n in range(15)] == ["", *map(str, range(1, 15))]


def test_what_was_unused_for_longest_goes_first() -> None:
    pool, clock = full(4)
    clock.time += LONG
    pool.slot_for("2")
    clock.time += 1
    pool.table.touch(1)  # by a worker
    clock.time += LONG
    assert [pool.slot_for(f"new {n}") for n in range(14)] == [*range(3, 15), 2, 1]
    assert pool.slot_for("2") is None


def test_what_is_in_use_stays() -> None:
    pool, clock = full(4)
    assert pool.slot_for("new") is None
    clock.time += IN_USE - 14
    assert pool.slot_for("new") is None
    clock.time += 1  # more than five minutes after the first was used
    assert pool.slot_for("new") == 1
    assert pool.slot_for("newer") is None
    assert pool.name(1) == "new"


def test_it_is_told_that_there_is_no_place() -> None:
    pool, _ = full(4)
    told = []
    pool.on_full = lambda: told.append(True)
    assert (pool.slot_for("new"), len(told)) == (None, 1)
    assert (pool.slot_for("1"), len(told)) == (1, 1)


def test_workers_touches_count_even_for_those_next_in_line() -> None:
    pool, clock = full(4)
    clock.time += LONG
    assert pool.slot_for("a") == 1
    assert 2 in pool.waiting()
    for slot in range(2, 14):
        pool.table.touch(slot)
    assert pool.slot_for("b") == 14
    assert pool.slot_for("c") is None


def test_one_that_is_used_while_it_waits_goes_to_the_end_of_the_queue() -> None:
    """Although by then it may be the least recently used again: the store must know who is next."""
    pool, clock = full(4)
    clock.time += LONG
    assert pool.waiting() == [1, 2]
    pool.table.touch(2)
    clock.time += 1
    for slot in range(3, 15):
        pool.table.touch(slot)
    clock.time += LONG
    assert [pool.slot_for(name) for name in "abc"] == [1, 3, 2]


def test_those_next_in_line_are_known_before_they_are_needed() -> None:
    """The store's promise rests on it."""
    pool, clock = full(6)
    clock.time += LONG
    pool.slot_for("new")
    while (slot := pool.slot_for(f"newer {clock.time}")) and slot < 50:
        clock.time += 1
        before = pool.waiting()
        assert pool.slot_for(f"new {clock.time}") in before[:1]


class Watched(SlotTable):
    """What the store would see at the moment when a slot gets its name."""

    def set(self, slot: int, name: str) -> None:
        super().set(slot, name)
        assert slot in self.pool.waiting()
        assert not self.used(slot) or not self.in_use(slot)

    def touch(self, slot: int, now: int | None = None) -> None:
        assert slot in self.pool.waiting()
        super().touch(slot, now)
        assert slot not in self.pool.waiting()

    pool: Pool


def test_a_place_waits_or_is_in_use_whenever_the_store_looks() -> None:
    clock = Clock()
    table = Watched(Ranges(small(4)), clock)
    table.pool = Pool(table)
    for number in range(100):
        clock.time += LONG / 10
        assert table.pool.slot_for(str(number))


def test_a_successor_finds_names_times_and_free_places() -> None:
    clock = Clock()
    table = table_of(4, clock)
    first = Pool(table)
    for n in range(1, 11):
        first.slot_for(str(n))
        clock.time += 1
    first.slot_for("1")
    second = Pool(table)
    assert [second.slot_for(str(n)) for n in range(3, 11)] == list(range(3, 11))
    assert [second.slot_for(f"more {n}") for n in range(4)] == [11, 12, 13, 14]
    assert second.slot_for("too many") is None
    clock.time += LONG
    assert [second.slot_for(f"new {n}") for n in range(3)] == [2, 1, 3]


def test_a_place_that_was_being_named_when_the_resolver_died() -> None:
    clock = Clock()
    table = table_of(4, clock)
    table.set(1, "new")
    table.touch(2)  # its name was being replaced
    pool = Pool(table)
    assert [pool.slot_for(name) for name in ("a", "b")] == [1, 3]
    assert pool.name(2) == ""


def test_one_of_two_places_with_one_name_loses_it() -> None:
    table = table_of(4, Clock())
    for slot in (3, 5):
        table.set(slot, "twice")
        table.touch(slot)
    pool = Pool(table)
    assert pool.slot_for("twice") == 3
    assert pool.name(5) == ""


@pytest.mark.parametrize("name", ["", "bücher.example", "a" * 254])
def test_no_place_for_what_is_no_name(name: str) -> None:
    pool = Pool(table_of(4, Clock()))
    with pytest.raises(ValueError, match="no name"):
        pool.slot_for(name)
    assert [pool.slot_for(str(n)) for n in range(1, 15)] == list(range(1, 15))


def test_a_pool_of_two() -> None:
    clock = Clock()
    pool = Pool(table_of(2, clock))
    assert [pool.slot_for(name) for name in "ab"] == [1, 2]
    clock.time += 1
    assert pool.slot_for("a") == 1
    assert pool.slot_for("c") is None
    clock.time += LONG
    assert [pool.slot_for(name) for name in "cbd"] == [2, 1, None]


def test_the_largest_pool_full_and_used_again() -> None:
    clock = Clock()
    pool = Pool(SlotTable(Ranges(FakePool()), clock))
    slots = range(1, pool.ranges.size)
    assert len(slots) == 131070
    for slot in slots:
        assert pool.slot_for(f"host-{slot}.example.org") == slot
    assert pool.slot_for("one.more.example.org") is None
    clock.time += 1
    used_later = range(1, len(slots), 3)
    for slot in used_later:
        pool.table.touch(slot)
    clock.time += LONG
    got = [pool.slot_for(f"new-{slot}.example.org") for slot in slots]
    later = set(used_later)
    assert got == [slot for slot in slots if slot not in later] + list(used_later)
    assert pool.name(131070) in {f"new-{slot}.example.org" for slot in slots}
