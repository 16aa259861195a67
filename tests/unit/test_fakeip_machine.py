"""The pool and its store, through any sequence of uses, restarts and crashes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cgtproxy.proxy.fakeip import store as module
from cgtproxy.proxy.fakeip.slot_table import IN_USE
from cgtproxy.proxy.fakeip.store import Store
from unit.fakeip_pools import LONG, Clock, table_of

BITS, WAITING = 5, 4  # 30 slots, of which 4 wait
NAMES = st.integers(1, 60).map(lambda number: f"{number}.example")


@pytest.fixture(autouse=True, scope="module")
def by_hand() -> Any:
    """Nothing is written unless the machine says so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAUSE", 1e6)
        yield


class FakeIp(RuleBasedStateMachine):
    """Keeps a simple model beside the pool, and compares.

    A name that was just given is lost in a crash. The machine writes before more slots are
    given at once than had been waiting: no more than those are promised to be safe.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.directory = self.root / "0"
        self.clock = Clock()
        self.slots: dict[str, int] = {}
        self.used: dict[int, int] = {}  # by slot, in seconds of the pool's
        # When somebody has last relied on the name of a slot, in seconds of the clock.
        self.relied: dict[int, tuple[str, float]] = {}
        self.crashed = False

    @initialize()
    def start(self) -> None:
        self.table = table_of(BITS, self.clock)
        self.open()

    def open(self) -> None:
        self.store = Store(self.directory)
        self.pool = self.store.pool(self.table)
        self.store.start()
        self.safe = set(self.pool.waiting())

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.root)

    def use(self, name: str, slot: int) -> None:
        self.slots[name] = slot
        self.used[slot] = self.table.now()
        self.relied[slot] = name, self.clock.time

    @rule(name=NAMES)
    def ask(self, name: str) -> None:
        slot = self.pool.slot_for(name)
        if name in self.slots:
            assert slot == self.slots[name]
        elif slot is None:
            assert len(self.used) == self.pool.ranges.size - 1
            assert all(map(self.table.in_use, self.used))
            event("exhausted")
            return
        else:
            self.check_new(slot)
        assert slot
        self.use(name, slot)
        if slot not in self.safe:
            self.write()

    def check_new(self, slot: int) -> None:
        assert 1 <= slot < self.pool.ranges.size
        if len(self.used) < self.pool.ranges.size - 1:
            assert slot not in self.used
            return
        older = [at for at, used in self.used.items() if used < self.used[slot]]
        assert len(older) <= WAITING  # they were used while they waited, and wait once more
        old = next((name for name, at in self.slots.items() if at == slot), None)
        if old:
            del self.slots[old]
            event("evicted")

    @rule(first=st.integers(1, 40), pause=st.sampled_from([0.0, LONG]))
    def ask_many(self, first: int, pause: float) -> None:
        """A burst, which fills the pool."""
        self.clock.time += pause
        for number in range(first, first + 20):
            self.ask(f"{number}.example")

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """Another process uses a name."""
        name = data.draw(st.sampled_from(sorted(self.slots)))
        self.table.touch(self.slots[name])
        self.use(name, self.slots[name])

    @rule(seconds=st.sampled_from([0.25, 1.0, 20.0, 61.0, 150.0, float(IN_USE), LONG, 5000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    @rule()
    def write(self) -> None:
        self.safe = set(self.pool.waiting())
        self.store.flush()

    @rule()
    def restart_resolver(self) -> None:
        """It was killed, so it has not written what was new."""
        self.abandon()
        self.open()

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.start_over()
        assert [self.table.name(slot) for slot in range(1, self.pool.ranges.size)] == [
            next((name for name, at in self.slots.items() if at == slot), "")
            for slot in range(1, self.pool.ranges.size)
        ]
        order = sorted(self.used, key=lambda slot: self.used[slot])
        times = [self.table.used(slot) for slot in order]
        assert times == sorted(times)
        self.used = {slot: self.table.used(slot) for slot in order}

    @rule()
    def crash(self) -> None:
        self.abandon()
        self.start_over()
        self.crashed = True
        kept = {
            slot: name
            for slot in range(1, self.pool.ranges.size)
            if (name := self.table.name(slot))
        }
        assert len(set(kept.values())) == len(kept)
        if lost := len(self.slots.keys() - set(kept.values())):
            event(f"{min(lost, 4)} lost")
        self.slots = {name: slot for slot, name in kept.items()}
        self.used = {
            slot: used
            for slot in range(1, self.pool.ranges.size)
            if (used := self.table.used(slot))
        }

    def abandon(self) -> None:
        """The process is gone, but its file is as it was."""
        following = self.root / str(int(self.directory.name) + 1)
        shutil.copytree(self.directory, following)
        self.store.close()
        self.directory = following

    def start_over(self) -> None:
        self.table = table_of(BITS, self.clock)
        self.open()

    @invariant()
    def who_relies_on_a_name_gets_no_other(self) -> None:
        for slot, (name, when) in self.relied.items():
            if self.clock.time - when <= IN_USE:
                found = self.table.name(slot)
                assert found == name or (self.crashed and not found)


TestFakeIp = FakeIp.TestCase
TestFakeIp.settings = settings(max_examples=40)
