"""What workers know of a destination, and how they keep its name."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from cgtproxy.proxy.fakeip import names
from cgtproxy.proxy.fakeip.names import FakeName, FakeNames, Leases
from cgtproxy.proxy.fakeip.pool import Pool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import START, SlotTable
from cgtproxy.runtime.event_loop import Callback, EventLoop
from unit.fakeip_pools import LONG, Clock, small, table_of


def test_names_are_found_in_all_pools() -> None:
    first, second = table_of(4, Clock()), SlotTable(Ranges(small(8, "10.7.7.0")))
    assert Pool(first).slot_for("a.example") == Pool(second).slot_for("b.example") == 1
    found = FakeNames([first, second])
    assert found.find("10.9.8.1") == (first, 1, "a.example")
    assert found.find("fd00::1") == (first, 1, "a.example")
    assert found.find("10.7.7.1") == (second, 1, "b.example")
    assert found.find("10.7.7.2") == (second, 2, "")
    assert found.find("10.7.7.0") == (second, 0, "")
    assert found.find("10.7.7.255") == (second, 0, "")
    for host in ("10.7.8.0", "192.0.2.1", "2001:db8::1", "fe80::1%lo", "::ffff:10.7.7.1"):
        assert found.find(host) is None
    assert FakeNames([]).find("10.9.8.1") is None


class Counting(EventLoop):
    """How many timers were set."""

    timers = 0

    def after(self, delay: float, callback: Callback) -> None:
        self.timers += 1
        super().after(delay, callback)

    def run_timers(self, many: int) -> None:
        """Until that many were set since the start."""

        looks = iter(range(20_000))

        def look() -> None:
            if self.timers >= many:
                self.stop()
            else:
                next(looks)  # raises at the end of patience
                EventLoop.after(self, 0.0005, look)

        look()
        self.run()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    monkeypatch.setattr(names, "PERIOD", 0.001)
    before = signal.set_wakeup_fd(-1)
    yield Counting()
    signal.set_wakeup_fd(before)


def test_what_is_held_is_touched_until_all_have_released_it(loop: Counting) -> None:
    clock = Clock()
    table = table_of(4, clock)
    one, other = FakeName(table, 1, "one"), FakeName(table, 2, "other")
    leases = Leases(loop)
    assert loop.timers == 0
    leases.take(one)
    leases.take(FakeName(table, 1, "one"))
    leases.take(other)
    assert (table.used(1), table.used(2), loop.timers) == (START, START, 1)
    clock.time += LONG
    leases.release(other)
    leases.release(one)
    clock.time += LONG
    loop.run_timers(3)
    assert (table.used(1), table.used(2)) == (START + 2 * int(LONG), START + int(LONG))
    leases.release(one)
    clock.time += LONG
    EventLoop.after(loop, 0.01, loop.stop)
    loop.run()
    before = loop.timers
    assert table.used(1) == START + 2 * int(LONG)
    leases.take(other)
    assert loop.timers == before + 1
    clock.time += LONG
    loop.run_timers(before + 3)
    assert table.used(2) == START + 4 * int(LONG)
