"""bench/run answers: answers a second with addresses from the pool, by dnsperf; medians."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Self

import bed
from served import Served

from .candidates import CANDIDATES, PORT

KNOWN, NEW = 1000, 10000  # names
# What is measured, which is better, and the ratio to the best peer that is to be reached.
FIGURES = {
    "known names, answers/s": ("more", 1.0),
    "  CPU µs an answer": ("less", 1.0),
    "  latency, mean, µs": ("less", 1.0),
    "new names, answers/s": ("more", 1.0),
    "  CPU µs an answer, new": ("less", 1.0),
    "MB after all names": ("less", 1.0),
}


class World:
    """One candidate in a network namespace of its own."""

    def __init__(self, name: str, rounds: int) -> None:
        self.name = name
        self._namespace = f"dns-{name}"
        self._directory = tempfile.TemporaryDirectory()
        bed.run("ip", "netns", "add", self._namespace)
        bed.run("ip", "-n", self._namespace, "link", "set", "lo", "up")
        quiet = subprocess.DEVNULL
        argv = CANDIDATES[name](Path(self._directory.name))
        environment = os.environ | {"STATE_DIRECTORY": self._directory.name}
        self._process = subprocess.Popen(
            self._inside(*argv), stdout=quiet, stderr=quiet, env=environment
        )
        self._served = Served(self._process.pid)
        bed.wait_until(self._answers, f"{name} to answer", timeout=20)
        self._known = self._file("known", KNOWN)
        self._new = [self._file(f"new{number}", NEW) for number in range(rounds)]

    def _inside(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self._namespace}", "--", *argv]

    def _answers(self) -> bool:
        return "NOERROR" in self._dnsperf("-n", "1", "-d", self._file("ready", 1))

    def _file(self, kind: str, count: int) -> str:
        """Two questions a name, as programs ask."""
        file = Path(self._directory.name) / kind
        names = (f"{kind}-{number}.example.com" for number in range(count))
        file.write_text("".join(f"{name} A\n{name} AAAA\n" for name in names))
        return str(file)

    def _dnsperf(self, *options: str) -> str:
        argv = self._inside("dnsperf", "-s", "127.0.0.1", "-p", str(PORT), "-t", "1", *options)
        return subprocess.run(argv, capture_output=True, text=True).stdout

    def measure(self, number: int, seconds: float) -> dict[str, float]:
        limit = str(max(1, round(seconds)))
        figures: list[float] = []
        for options in (
            ("-d", self._known, "-l", limit, "-c", "16", "-q", "100"),
            ("-d", self._new[number], "-n", "1", "-c", "16", "-q", "100"),
        ):
            before = self._served.cpu()
            told = self._dnsperf(*options)
            cpu = self._served.cpu() - before
            done = _number(r"Queries completed: +(\d+)", told)
            figures += [_number(r"per second: +([\d.]+)", told), cpu / done * 1e6]
            if len(figures) == 2:
                figures.append(_number(r"Average Latency \(s\): +([\d.]+)", told) * 1e6)
        return dict(zip(FIGURES, (*figures, self._served.memory()), strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        bed.run("ip", "netns", "delete", self._namespace)
        self._directory.cleanup()


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise ValueError(f"dnsperf said: {text[-300:]}")
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/run answers", description=__doc__)
    parser.add_argument("--peers", nargs="*", default=list(CANDIDATES)[1:])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    if not bed.inside():
        sys.exit("bench: runs in the test bed only: sudo bench/run answers")
    names = ["cgtproxy", *arguments.peers]
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with ExitStack() as stack:
        worlds = [stack.enter_context(World(name, arguments.rounds)) for name in names]
        for number in range(arguments.rounds):
            for world in worlds:
                results[world.name].append(world.measure(number, arguments.seconds))
    _print(results)


def _print(results: dict[str, list[dict[str, float]]]) -> None:
    print(f"{'':30}" + "".join(f"{name:>10}" for name in results) + "     ratio       bar")
    for figure, (better, bar) in FIGURES.items():
        medians = {name: median(v[figure] for v in values) for name, values in results.items()}
        ours = medians.pop("cgtproxy")
        row = "".join(f"{value:10.4g}" for value in (ours, *medians.values()))
        best = (max if better == "more" else min)(medians.values()) if medians else ours
        print(f"{figure:30}{row}{ours / best:10.2f}     {'≥' if better == 'more' else '≤'} {bar}")


main()
