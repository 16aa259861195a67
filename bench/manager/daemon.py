"""What is measured of a running daemon: latency, CPU time, bursts, start and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

from .candidate import Candidate, Running
from .contest import Figure, Figures, Scale, Section
from .crowd import Crowd, crowd
from .realtime import AS_THE_UNIT, ORDINARY, realtime

START = 60.0  # seconds after which it is not waited for any more
GONE = 5.0  # seconds after which an event counts as lost
PACE = 0.002  # seconds between two events that are to be handled one by one
IN_STARTS_OF_PYTHON = "  in starts of `python -c pass`"
FAST_PACE = 0.00025  # seconds, as when 4,000 cgroups come and go in a second


def latency(candidates: Sequence[Candidate], scale: Scale) -> Iterator[Section]:
    figures = (
        Figure("mkdir to rule, p50", "ms", 0.6),
        Figure("mkdir to rule, p99", "ms"),
        Figure("rmdir to no rule, p50", "ms"),
        Figure("rmdir to no rule, p99", "ms"),
        Figure("lost", "", 0),
    )
    for others in (0, scale(1000)):
        with crowd(others) as made:
            title = f"One cgroup at a time, {others} others"
            rounds = {c.name: partial(_latency, c, made, scale(200)) for c in candidates}
            yield Section(title, figures, rounds)


def _latency(candidate: Candidate, made: Crowd, count: int) -> Figures:
    appeared: list[float] = []
    vanished: list[float] = []
    with realtime(), candidate.running() as running:
        running.wait_watching(made)
        for _ in range(count):
            begin = time.monotonic()
            made.mkdir("new.scope")
            key = made.id("new.scope")
            there = running.notices.wait_inside(key, GONE)
            time.sleep(PACE)  # until it is asleep again
            begin_rmdir = time.monotonic()
            made.rmdir("new.scope")
            gone = running.notices.wait_outside(key, GONE)
            time.sleep(PACE)
            if there is not None and gone is not None:
                appeared.append(there - begin)
                vanished.append(gone - begin_rmdir)
    return {
        "mkdir to rule, p50": _quantile(appeared, 0.5),
        "mkdir to rule, p99": _quantile(appeared, 0.99),
        "rmdir to no rule, p50": _quantile(vanished, 0.5),
        "rmdir to no rule, p99": _quantile(vanished, 0.99),
        "lost": count - len(appeared),
    }


def _quantile(seconds: list[float], share: float) -> float | None:
    """In ms."""
    return sorted(seconds)[int(share * len(seconds))] * 1000 if seconds else None


def cpu(candidates: Sequence[Candidate], scale: Scale) -> Iterator[Section]:
    figures = (
        Figure("mkdir and rmdir, 2 ms apart", "ms"),
        Figure("mkdir and rmdir, 0.25 ms apart", "ms"),
    )
    with crowd() as made:
        rounds = {c.name: partial(_cpu, c, made, scale(500)) for c in candidates}
        yield Section("CPU time of 1,000 events", figures, rounds)


def _cpu(candidate: Candidate, made: Crowd, count: int) -> Figures:
    with candidate.running() as running:
        running.wait_watching(made)
        return {
            "mkdir and rmdir, 2 ms apart": _paced(running, made, count, PACE),
            "mkdir and rmdir, 0.25 ms apart": _paced(running, made, 8 * count, FAST_PACE),
        }


def _paced(running: Running, made: Crowd, count: int, pace: float) -> float:
    """CPU time in ms of 1,000 events, of `count` mkdirs and as many rmdirs."""
    used = running.cpu()
    due = time.monotonic()
    for act in (made.mkdir, made.rmdir):
        for number in range(count):
            act(f"new-{number}.scope")
            due += pace
            time.sleep(max(0.0, due - time.monotonic()))
    running.wait_quiet()
    running.notices.drain()
    return (running.cpu() - used) / (2 * count) * 1e6


def burst(candidates: Sequence[Candidate], scale: Scale) -> Iterator[Section]:
    figures = (
        Figure("lost", "", 0),
        Figure("stale", "", 0),
        Figure("the mkdirs took", "ms"),
        Figure("settled after the last mkdir", "ms", 100),
        Figure("settled after the last rmdir", "ms"),
        Figure("CPU time of 1,000 events", "ms", 35),
    )
    for count in (scale(1000), scale(10_000)):
        for name, scheduling in (("real-time", AS_THE_UNIT), ("ordinary", ORDINARY)):
            with crowd() as made:
                rounds = {c.name: partial(_burst, c, made, count, scheduling) for c in candidates}
                yield Section(f"{count} mkdirs, then rmdirs, {name} priority", figures, rounds)


def _burst(
    candidate: Candidate, made: Crowd, count: int, scheduling: Sequence[str] = AS_THE_UNIT
) -> Figures:
    names = [f"new-{number}.scope" for number in range(count)]
    with candidate.running(scheduling=scheduling) as running:
        running.wait_watching(made)
        inside, used = running.notices.inside, running.cpu()
        begin = time.monotonic()
        for name in names:
            made.mkdir(name)
        made_at = time.monotonic()
        there = made.ids()
        settled = running.notices.wait(lambda: inside >= there, GONE)
        lost = len(there - inside)
        for name in names:
            made.rmdir(name)
        removed_at = time.monotonic()
        cleared = running.notices.wait(lambda: inside.isdisjoint(there), GONE)
        stale = len(inside & there)
        running.wait_quiet()
        return {
            "lost": lost,
            "stale": stale,
            "the mkdirs took": (made_at - begin) * 1000,
            "settled after the last mkdir": _milliseconds(made_at, settled),
            "settled after the last rmdir": _milliseconds(removed_at, cleared),
            "CPU time of 1,000 events": (running.cpu() - used) / (2 * count) * 1e6,
        }


def start(candidates: Sequence[Candidate], scale: Scale) -> Iterator[Section]:
    for count in (0, 1000, 10_000, 50_000, 100_000):
        figures = [
            Figure("exec to READY=1", "ms"),
            Figure("PSS", "MB", 30 if count == 1000 else None),
            Figure("RSS", "MB"),
        ]
        if count:
            figures = [
                Figure("exec to first rule", "ms", 400 if count == 1000 else None),
                Figure(IN_STARTS_OF_PYTHON, "x"),
                Figure("exec to the whole map", "ms", 3000 if count == 50_000 else None),
                *figures,
            ]
        with crowd(scale(count)) as made:
            rounds = {c.name: partial(_start, c, made) for c in candidates}
            title = f"Start with {scale(count)} cgroups"
            yield Section(title, figures, rounds, most_rounds=5 if count <= 10_000 else 3)


def rules(candidates: Sequence[Candidate], scale: Scale) -> Iterator[Section]:
    """A start with many rules, each a regular expression to be compiled."""
    figures = [
        Figure("exec to first rule", "ms", 400),
        Figure(IN_STARTS_OF_PYTHON, "x"),
        Figure("exec to READY=1", "ms"),
    ]
    count = scale(1000)
    with crowd(count) as made:
        rounds = {c.name: partial(_start, c, made, count) for c in candidates}
        yield Section(f"Start with {count} cgroups and {count} rules", figures, rounds)


def _start(candidate: Candidate, made: Crowd, more_rules: int = 0) -> Figures:
    there = made.ids()
    interpreter = _interpreter()
    with candidate.running(more_rules=more_rules) as running:
        inside = running.notices.inside
        first = running.notices.wait(lambda: not inside.isdisjoint(there), START) if there else None
        whole = running.notices.wait(lambda: inside >= there, START) if there else None
        ready = running.wait_ready(GONE)
        if not there:
            running.wait_watching(made)
        memory = running.memory()
        return {
            "exec to first rule": _milliseconds(running.began, first),
            "exec to the whole map": _milliseconds(running.began, whole),
            "exec to READY=1": _milliseconds(running.began, ready),
            "PSS": memory.pss / 1e6,
            "RSS": memory.rss / 1e6,
            IN_STARTS_OF_PYTHON: (first - running.began) / interpreter if first else None,
        }


def _interpreter() -> float:
    """Seconds that a start of Python takes by itself."""
    begin = time.monotonic()
    subprocess.run([*AS_THE_UNIT, sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - begin


def _milliseconds(begin: float, end: float | None) -> float | None:
    return None if end is None else (end - begin) * 1000
