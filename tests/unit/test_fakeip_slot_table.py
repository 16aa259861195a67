"""Names in memory that real processes share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import IN_USE, MAX_NAME, START, SlotTable, is_name
from unit.fakeip_pools import Clock, table_of

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=MAX_NAME)


def in_child(program: Callable[[], bool]) -> int:
    """Fork; the child's exit code is 0 if the program returns true."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os._exit(0 if program() else 1)
    finally:
        os._exit(2)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@given(st.lists(st.tuples(st.integers(1, 14), NAMES), max_size=30))
def test_every_place_keeps_the_last_name_it_got(given_names: list[tuple[int, str]]) -> None:
    table = table_of(4, Clock())
    for slot, name in given_names:
        table.set(slot, name)
        table.touch(slot)
    last = dict(given_names)
    assert [table.name(slot) for slot in range(15)] == [last.get(n, "") for n in range(15)]


@pytest.mark.parametrize("text", ["", "a" * 254, "bücher.example", "a\nb", "a\0"])
def test_what_is_no_name(text: str) -> None:
    assert not is_name(text)
    assert is_name("a" * 253)


def test_time_is_counted_from_the_start_in_whole_seconds() -> None:
    clock = Clock()
    table = table_of(4, clock)
    assert (table.now(), table.used(1)) == (START, 0)
    clock.time += 0.999
    table.touch(1)
    assert table.used(1) == START
    clock.time += 0.001
    table.touch(1)
    assert table.used(1) == START + 1
    table.touch(2, START - 7)
    assert table.used(2) == START - 7


def test_a_place_is_in_use_for_five_minutes_after_each_touch() -> None:
    clock = Clock()
    table = table_of(4, clock)
    assert not table.in_use(1)
    clock.time += 1000.9
    table.touch(1)
    clock.time += IN_USE
    assert table.in_use(1)
    clock.time += 1
    assert not table.in_use(1)


def test_what_was_used_in_an_earlier_run_may_have_been_used_just_before_this_one() -> None:
    clock = Clock()
    table = table_of(4, clock)
    table.touch(1, 1)
    clock.time += IN_USE
    assert table.in_use(1)
    clock.time += 1
    assert not table.in_use(1)


def test_what_was_used_in_an_earlier_run_that_has_told_when() -> None:
    table = table_of(4, Clock())
    table.exact = True
    table.touch(1, START - 1)
    table.touch(2, START - IN_USE - 3)
    assert (table.in_use(1), table.in_use(2), table.in_use(3)) == (True, False, False)


def test_another_process_reads_names_and_tells_of_use() -> None:
    clock = Clock()
    table = table_of(4, clock)
    to_child, from_parent = os.pipe()

    def worker() -> bool:
        os.read(to_child, 1)
        clock.time += 50
        table.touch(3)
        return table.name(3) == "example.org"

    pid = in_child(worker)
    table.set(3, "example.org")
    table.touch(3)
    os.write(from_parent, b"!")
    assert exit_code(pid) == 0
    assert table.used(3) == START + 50


def test_a_reader_in_another_process_never_sees_a_mix() -> None:
    names = "a" * 250, "b" * 249 + "c"
    table = table_of(4, Clock())
    table.touch(1)

    def reader() -> bool:
        left = dict.fromkeys((*names, ""), 0)
        while left[names[0]] < 20000 or left[names[1]] < 20000:
            left[table.name(1)] += 1  # KeyError for anything else
        return True

    pid, ended, status = in_child(reader), 0, 0
    while not ended:
        ended, status = os.waitpid(pid, os.WNOHANG)
        for name in names:
            table.set(1, name)
    assert os.waitstatus_to_exitcode(status) == 0


def shared_kilobytes() -> int:
    """Of this process's memory, what is resident and shared."""
    found = re.search(r"RssShmem:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def test_memory_is_taken_by_names_only() -> None:
    before = shared_kilobytes()
    table = SlotTable(Ranges(FakePool()))
    for slot in range(1, 401):
        table.set(slot, f"host-{slot}.example.org")
        table.touch(slot)
    for slot in range(1, table.ranges.size, 100):  # somebody scans the pool's addresses
        table.name(slot)
    # Times and sums are a megabyte, and 400 names 100 KiB; all records together would be 32 MiB.
    assert 100 <= shared_kilobytes() - before < 1400
