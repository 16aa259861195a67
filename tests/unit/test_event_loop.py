"""The event loop: descriptors, timers, signals."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator

import pytest

from cgtproxy.runtime.event_loop import EventLoop, NestedLoop


class Pipe:
    """Something to read from; `fileno` is its reading end."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        return self._read

    def write(self) -> None:
        os.write(self._write, b"x")

    def read(self) -> None:
        os.read(self._read, 1)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    before = signal.set_wakeup_fd(-1)
    yield EventLoop()
    signal.set_wakeup_fd(before)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def nested() -> Iterator[NestedLoop]:
    made = NestedLoop()
    yield made
    made.close()


def test_a_descriptor_is_told_as_long_as_there_is_something_to_read(
    loop: EventLoop, pipe: Pipe
) -> None:
    told = []

    def readable() -> None:
        told.append("x")
        if len(told) == 3:
            loop.stop()
        elif len(told) == 2:
            pipe.read()
            loop.after(0, pipe.write)

    loop.watch(pipe, readable)
    pipe.write()
    loop.run()
    assert len(told) == 3


def test_what_is_not_watched_any_more_is_not_told(loop: EventLoop, pipe: Pipe) -> None:
    loop.watch(pipe, lambda: pytest.fail("told"))
    pipe.write()
    loop.unwatch(pipe)
    loop.after(0.01, loop.stop)
    loop.run()


def test_one_callback_may_end_the_watching_of_another(loop: EventLoop) -> None:
    pipes = [Pipe(), Pipe()]
    told = []

    def only_one(mine: int, other: int) -> None:
        told.append(mine)
        loop.unwatch(pipes[other])
        loop.stop()

    loop.watch(pipes[0], lambda: only_one(0, 1))
    loop.watch(pipes[1], lambda: only_one(1, 0))
    for pipe in pipes:
        pipe.write()
    loop.run()
    assert len(told) == 1
    for pipe in pipes:
        pipe.close()


def test_timers_come_in_order_of_time(loop: EventLoop) -> None:
    told = []
    loop.after(0.03, loop.stop)
    loop.after(0.02, lambda: told.append("late"))
    loop.after(0, lambda: told.append("first"))
    loop.after(0, lambda: told.append("second"))
    loop.after(0.01, lambda: told.append("early"))
    loop.after(-1, lambda: told.append("overdue"))
    loop.run()
    assert told == ["overdue", "first", "second", "early", "late"]


def test_a_timer_runs_once(loop: EventLoop) -> None:
    told = []
    loop.after(0, lambda: told.append("x"))
    loop.after(0.01, loop.stop)
    loop.run()
    assert told == ["x"]


def test_a_timer_that_sets_itself_again_keeps_out_nobody(loop: EventLoop, pipe: Pipe) -> None:
    def again() -> None:
        loop.after(0, again)

    loop.watch(pipe, loop.stop)
    pipe.write()
    loop.after(0, again)
    loop.run()


def test_signals_are_told_outside_of_their_handlers(loop: EventLoop) -> None:
    told = []
    loop.on_signal(signal.SIGUSR1, lambda: told.append("one"))
    loop.on_signal(signal.SIGUSR2, loop.stop)

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        told.append("killed")
        os.kill(os.getpid(), signal.SIGUSR2)

    loop.after(0, kill)
    loop.run()
    assert told == ["killed", "one"]


def test_a_signal_ends_the_waiting(loop: EventLoop) -> None:
    """With no timer set: only the signal can wake it up."""
    loop.on_signal(signal.SIGUSR1, loop.stop)
    loop.on_signal(signal.SIGUSR2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    os.kill(os.getpid(), signal.SIGUSR2)
    loop.run()


def test_an_exception_ends_the_loop(loop: EventLoop) -> None:
    def fail() -> None:
        raise LookupError

    loop.after(0, fail)
    with pytest.raises(LookupError):
        loop.run()


def test_it_can_run_again(loop: EventLoop) -> None:
    for _ in range(2):
        loop.after(0, loop.stop)
        loop.run()


def test_a_turn_waits_no_longer_than_it_may(loop: EventLoop) -> None:
    loop.after(1e6, lambda: pytest.fail("called"))
    loop.turn(0.01)


def test_who_waits_to_write_is_told(loop: EventLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        told = []
        loop.watch(ours, lambda: told.append("x"))
        loop.turn(0)
        loop.watch_writable(ours, True)
        loop.turn(0)
        loop.watch_writable(ours, False)
        loop.turn(0)
        assert told == ["x"]


def test_a_loop_within_a_loop_gets_a_turn_for_what_it_watches(
    loop: EventLoop, nested: NestedLoop, pipe: Pipe
) -> None:
    nested.watch(pipe, loop.stop)
    loop.watch(nested, nested.turn)
    loop.after(0, pipe.write)
    loop.run()


def test_a_loop_within_a_loop_gets_a_turn_for_each_of_its_timers(
    loop: EventLoop, nested: NestedLoop
) -> None:
    told = []
    loop.watch(nested, nested.turn)
    nested.after(0.02, loop.stop)
    nested.after(0.01, lambda: told.append("late"))
    nested.after(-1, lambda: told.append("overdue"))
    loop.run()
    assert told == ["overdue", "late"]


def test_a_loop_within_a_loop_is_not_woken_when_nothing_is_due(nested: NestedLoop) -> None:
    nested.after(1e6, lambda: pytest.fail("called"))
    assert select.select([nested], [], [], 0)[0] == []
    nested.after(0, lambda: None)
    assert select.select([nested], [], [], 10)[0] == [nested]
    nested.turn()
    assert select.select([nested], [], [], 0)[0] == []


def test_a_timer_may_be_set_by_the_callback_that_comes_before_its_turn(
    nested: NestedLoop, pipe: Pipe
) -> None:
    nested.watch(pipe, lambda: nested.after(1e6, lambda: pytest.fail("called")))
    pipe.write()
    nested.after(0, lambda: None)
    select.select([nested._timer], [], [], 10)
    nested.turn()
