"""bench/run's second half, inside the bed."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from math import ceil

import bed

from . import contest, daemon
from .candidate import Candidate
from .contest import Scale, Section
from .insertion import insertion
from .packets import packets

Workload = Callable[[Sequence[Candidate], Scale], Iterator[Section]]

WORKLOADS: dict[str, Workload] = {
    "latency": daemon.latency,
    "cpu": daemon.cpu,
    "burst": daemon.burst,
    "start": daemon.start,
    "rules": daemon.rules,
    "packets": lambda _, scale: packets(scale),
    "insertion": lambda _, scale: insertion(scale),
}


def main() -> None:
    arguments = _parser().parse_args()
    if not bed.inside():
        sys.exit("bench: runs in the test bed only: sudo bench/run")
    python = [sys.executable, "-m"]
    peer = shlex.split(arguments.peer) if arguments.peer else [*python, "manager.naive"]
    candidates = [
        Candidate("cgtproxy", [*python, "cgtproxy"]),
        Candidate("peer" if arguments.peer else "naive", peer),
    ]
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs; load {_load()}\n")
    for what in arguments.what or WORKLOADS:
        for section in WORKLOADS[what](candidates, lambda count: ceil(count * arguments.scale)):
            print("\n".join(contest.run(section, arguments.rounds)), flush=True)
    print(f"Medians of {arguments.rounds} rounds; load {_load()} at the end")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(WORKLOADS))
    parser.add_argument("--peer", metavar="COMMAND", help="runs as COMMAND -c FILE, next to ours")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--scale", type=float, default=1, help="multiply all sizes by this")
    return parser


main()
