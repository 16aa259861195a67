"""bench/run ablations: what is lost without each optimisation, in percent."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import bed
from relay.candidates import Candidate, cgtproxy
from relay.world import CLIENTS, World

from .measurements import MEASUREMENTS, MORE, Values
from .switches import SWITCHES, Switch

BASE = "all"  # the name of the world with all optimisations
TREE = "tree"  # the name of the world with the server of another working tree
Results = Mapping[str, Sequence[Values]]  # of all rounds, by the world's name


def main() -> None:
    arguments = _parser().parse_args()
    if not bed.inside():
        sys.exit("bench: runs in the test bed only: sudo bench/run ablations")
    switches = {name: SWITCHES[name] for name in arguments.switches or SWITCHES}
    if tree := arguments.tree:
        of_all = tuple(MEASUREMENTS)
        switches = {TREE: Switch(tree, of_all, lambda: None, arguments.socks)}
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':42}{'without':>10}{'with':>10}{'lost':>9}  from … to", flush=True)
    for socks in (None, "microsocks"):
        served = {name: each for name, each in switches.items() if each.socks == bool(socks)}
        if served:
            _compare(served, socks, arguments)


def _compare(
    switches: Mapping[str, Switch], socks: str | None, arguments: argparse.Namespace
) -> None:
    with bed.Cgroup(CLIENTS), ExitStack() as stack:
        worlds = [
            stack.enter_context(World(number, name, _candidate(name, arguments.tree), socks))
            for number, name in enumerate([BASE, *switches], 1)
        ]
        for what in arguments.only or MEASUREMENTS:
            measured = [name for name in switches if what in switches[name].measurements]
            taking_part = [world for world in worlds if world.name in (BASE, *measured)]
            if measured:
                results = _rounds(taking_part, what, arguments.rounds, arguments.seconds)
                for name in measured:
                    print(f"{name}: {switches[name].without}")
                    _print(results[name], results[BASE])


def _candidate(name: str, tree: str | None) -> Candidate:
    def candidate(directory: Path, socks: bool) -> Sequence[str]:
        python, _, _, *arguments = cgtproxy(directory, socks)
        if name == BASE:
            return [python, "-m", "cgtproxy", *arguments]
        if name == TREE:
            return [f"{tree}/.venv/bin/python", "-m", "cgtproxy", *arguments]
        return [python, "-m", "ablations.server", name, *arguments]

    return candidate


def _rounds(worlds: list[World], what: str, rounds: int, seconds: int) -> Results:
    results: dict[str, list[Values]] = {world.name: [] for world in worlds}
    for number in range(rounds):
        first = number % len(worlds)  # what one leaves behind, another finds
        for world in worlds[first:] + worlds[:first]:
            results[world.name].append(MEASUREMENTS[what](world, seconds))
    return results


def _print(without: Sequence[Values], with_all: Sequence[Values]) -> None:
    for figure in with_all[0]:
        pairs = [
            (one, other)
            for one, other in zip(_of(figure, without), _of(figure, with_all), strict=True)
            if one and other
        ]
        if pairs:
            lost = sorted(_lost(figure, *pair) for pair in pairs)
            medians = "".join(f"{median(each):10.4g}" for each in zip(*pairs, strict=True))
            spread = f"{lost[0]:+.0f} … {lost[-1]:+.0f}"
            print(f"  {figure:40}{medians}{median(lost):+8.1f}%  {spread}", flush=True)


def _of(figure: str, rounds: Iterable[Values]) -> list[float | None]:
    return [values[figure] for values in rounds]


def _lost(figure: str, without: float, with_all: float) -> float:
    """Percent."""
    more_is_better = any(unit in figure for unit in MORE)
    return (1 - without / with_all if more_is_better else without / with_all - 1) * 100


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run ablations", description=__doc__)
    parser.add_argument("switches", nargs="*", metavar="SWITCH", help=", ".join(SWITCHES))
    parser.add_argument("--only", nargs="+", help=f"of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument(
        "--tree",
        metavar="DIRECTORY",
        help="compare with the server of this working tree",
    )
    parser.add_argument("--socks", action="store_true", help="with --tree: through a SOCKS5 server")
    return parser


if __name__ == "__main__":
    main()
