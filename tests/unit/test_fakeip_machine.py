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
from cgtproxy.proxy.fakeip.slots import IN_USE
from cgtproxy.proxy.fakeip.store import Store
from unit.fakeip_pools import LONG, Clock, slots_of

BITS = 5  # 30 places, of which 4 wait
NAMES = st.integers(1, 60).map(lambda number: f"{number}.example")


@pytest.fixture(autouse=True, scope="module")
def by_hand() -> Any:
    """Nothing is written unless the machine says so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAUSE", 1e6)
        yield


class FakeIp(RuleBasedStateMachine):
    """Keeps a simple model beside the pool, and compares.

    A name that was just given is lost in a crash. The machine writes before more places are
    given at once than had been waiting: no more than those are promised to be safe.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.directory = self.root / "0"
        self.clock = Clock()
        self.places: dict[str, int] = {}
        self.used: dict[int, int] = {}  # by place, in seconds of the pool's
        # When somebody has last relied on the name of a place, in seconds of the clock.
        self.relied: dict[int, tuple[str, float]] = {}
        self.crashed = False

    @initialize()
    def start(self) -> None:
        self.slots = slots_of(BITS, self.clock)
        self.open()

    def open(self) -> None:
        self.store = Store(self.directory)
        self.pool = self.store.pool(self.slots)
        self.store.start()
        self.safe = set(self.pool.waiting())

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.root)

    def use(self, name: str, place: int) -> None:
        self.places[name] = place
        self.used[place] = self.slots.now()
        self.relied[place] = name, self.clock.time

    @rule(name=NAMES)
    def ask(self, name: str) -> None:
        place = self.pool.place_of(name)
        if name in self.places:
            assert place == self.places[name]
        elif place is None:
            assert len(self.used) == self.pool.ranges.size - 1
            assert all(map(self.slots.in_use, self.used))
            event("exhausted")
            return
        else:
            self.check_new(place)
        assert place
        self.use(name, place)
        if place not in self.safe:
            self.write()

    def check_new(self, place: int) -> None:
        assert 1 <= place < self.pool.ranges.size
        if len(self.used) < self.pool.ranges.size - 1:
            assert place not in self.used
            return
        assert self.used[place] == min(self.used.values())
        old = next((name for name, at in self.places.items() if at == place), None)
        if old:
            del self.places[old]
            event("evicted")

    @rule(first=st.integers(1, 40), pause=st.sampled_from([0.0, LONG]))
    def ask_many(self, first: int, pause: float) -> None:
        """A burst, which fills the pool."""
        self.clock.time += pause
        for number in range(first, first + 20):
            self.ask(f"{number}.example")

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """Another process uses a name."""
        name = data.draw(st.sampled_from(sorted(self.places)))
        self.slots.touch(self.places[name])
        self.use(name, self.places[name])

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
        assert [self.slots.name(place) for place in range(1, self.pool.ranges.size)] == [
            next((name for name, at in self.places.items() if at == place), "")
            for place in range(1, self.pool.ranges.size)
        ]
        order = sorted(self.used, key=lambda place: self.used[place])
        times = [self.slots.used(place) for place in order]
        assert times == sorted(times)
        self.used = {place: self.slots.used(place) for place in order}

    @rule()
    def crash(self) -> None:
        self.abandon()
        self.start_over()
        self.crashed = True
        kept = {
            place: name
            for place in range(1, self.pool.ranges.size)
            if (name := self.slots.name(place))
        }
        assert len(set(kept.values())) == len(kept)
        if lost := len(self.places.keys() - set(kept.values())):
            event(f"{min(lost, 4)} lost")
        self.places = {name: place for place, name in kept.items()}
        self.used = {
            place: used
            for place in range(1, self.pool.ranges.size)
            if (used := self.slots.used(place))
        }

    def abandon(self) -> None:
        """The process is gone, but its file is as it was."""
        following = self.root / str(int(self.directory.name) + 1)
        shutil.copytree(self.directory, following)
        self.store.close()
        self.directory = following

    def start_over(self) -> None:
        self.slots = slots_of(BITS, self.clock)
        self.open()

    @invariant()
    def who_relies_on_a_name_gets_no_other(self) -> None:
        for place, (name, when) in self.relied.items():
            if self.clock.time - when <= IN_USE:
                found = self.slots.name(place)
                assert found == name or (self.crashed and not found)


TestFakeIp = FakeIp.TestCase
TestFakeIp.settings = settings(max_examples=40)
