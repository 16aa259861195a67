"""bench/run relay: medians, and ratios to the best peer of the same run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

import bed

from .candidates import CANDIDATES, SOCKS_SERVERS
from .world import CLIENTS, World

Values = dict[str, float | None]
UP = {"more": max, "less": min}
# What is measured, which is better, and the ratio to the best peer that is to be reached.
FIGURES = {
    "1 stream up, Gbit/s": ("more", 0.90),
    "  CPU s/GB, 1 up": ("less", 1.0),
    "1 stream down, Gbit/s": ("more", 0.90),
    "  CPU s/GB, 1 down": ("less", 1.0),
    "8 streams up, Gbit/s": ("more", 0.90),
    "  CPU s/GB, 8 up": ("less", 1.0),
    "8 streams down, Gbit/s": ("more", 0.90),
    "  CPU s/GB, 8 down": ("less", 1.0),
    "closing/s, 32 clients": ("more", 1.2),
    "  CPU µs a connection": ("less", 1.0),
    "closing/s, 500 clients": ("more", 1.2),
    "set-up to first byte p50, µs": ("less", 0.8),
    "set-up to first byte p99, µs": ("less", 0.8),
    "round trip p50, µs": ("less", 1.0),
    "round trip under bulk p50, µs": ("less", 1.0),
    "round trip under bulk p99, µs": ("less", 0.5),
    "  of SOCKS5 alone, p99": ("less", None),
    "UDP packets/s, 1 flow": ("more", 1.15),
    "  CPU µs a packet": ("less", 1.0),
    "UDP packets/s, 200 flows": ("more", 1.15),
    "UDP new flow p50, µs": ("less", 0.7),
    "MB with 1,000 idle connections": ("less", 0.5),
}


def bulk(world: World, seconds: float) -> Values:
    values: Values = {}
    for streams, text in ((1, "1 stream"), (8, "8 streams")):
        for way in ("up", "down"):
            rate, cpu = world.iperf(seconds, streams, down=way == "down")
            values |= {f"{text} {way}, Gbit/s": rate, f"  CPU s/GB, {streams} {way}": cpu}
    return values


def closing(world: World, seconds: float) -> Values:
    few, many = world.load("closing", seconds, 32), world.load("closing", seconds, 500)
    one = world.load("closing", seconds, 1)
    return {
        "closing/s, 32 clients": few["rate"],
        "  CPU µs a connection": few["cost"],
        "closing/s, 500 clients": many["rate"],
        "set-up to first byte p50, µs": one["p50"],
        "set-up to first byte p99, µs": one["p99"],
    }


def trips(world: World, seconds: float) -> Values:
    alone = world.load("rtt", seconds)
    lasting = seconds * (2 if world.socks else 1) + 1
    argv = ["iperf3", "-c", world.origin, "-t", str(lasting)]
    with world.client(argv, stdout=-3) as bulk_transfer:
        loaded = world.load("rtt", seconds)
        # What no server could take away: the same without it, beside the same transfer.
        least = world.load("rtt-socks", seconds) if world.socks else {}
        bulk_transfer.wait()
    values = {
        "round trip p50, µs": alone["p50"],
        "round trip under bulk p50, µs": loaded["p50"],
        "round trip under bulk p99, µs": loaded["p99"],
    }
    return values | ({"  of SOCKS5 alone, p99": least["p99"]} if least else {})


def datagrams(world: World, seconds: float) -> Values:
    one, many = world.load("udp", seconds, 1), world.load("udp", seconds, 200)
    new = world.load("udp-new", seconds)
    return {
        "UDP packets/s, 1 flow": one["rate"],
        "  CPU µs a packet": one["cost"],
        "UDP packets/s, 200 flows": many["rate"],
        "UDP new flow p50, µs": new["p50"],
    }


def memory(world: World, _: float) -> Values:
    return {"MB with 1,000 idle connections": world.memory_with_idle(1000)}


MEASUREMENTS: dict[str, Callable[[World, float], Values]] = {
    "bulk": bulk,
    "closing": closing,
    "trips": trips,
    "datagrams": datagrams,
    "memory": memory,
}


def main() -> None:
    arguments = _parser().parse_args()
    if not bed.inside():
        sys.exit("bench: runs in the test bed only: sudo bench/run relay")
    names = ["none", *(arguments.peers or CANDIDATES)]
    if "cgtproxy" not in names:
        names.insert(1, "cgtproxy")
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    with bed.Cgroup(CLIENTS), ExitStack() as stack:
        worlds = [
            stack.enter_context(World(number, name, CANDIDATES.get(name), arguments.socks))
            for number, name in enumerate(names, 1)
        ]
        for what in arguments.what or MEASUREMENTS:
            _compare(worlds, MEASUREMENTS[what], arguments.rounds, arguments.seconds)


def _compare(
    worlds: list[World], measure: Callable[[World, float], Values], rounds: int, seconds: float
) -> None:
    results: dict[str, list[Values]] = {world.name: [] for world in worlds}
    for number in range(rounds):
        first = number % len(worlds)  # what one leaves behind, another finds
        for world in worlds[first:] + worlds[:first]:
            results[world.name].append(_tried(measure, world, seconds))
    figures = next(values for values in results["cgtproxy"] if values) or {}
    print(f"{'':34}" + "".join(f"{name:>10}" for name in results) + "     ratio  at least")
    for figure in figures:
        medians = {name: _median(figure, values) for name, values in results.items()}
        better, bar = FIGURES[figure]
        peers = [v for name, v in medians.items() if name not in ("none", "cgtproxy") and v]
        ratio = f"{medians['cgtproxy'] / UP[better](peers):10.2f}" if peers else f"{'-':>10}"
        row = "".join(f"{value:10.4g}" for value in medians.values())
        reached = f"  {'≥' if better == 'more' else '≤'} {bar}" if bar else ""
        print(f"{figure:34}{row}{ratio}{reached}", flush=True)
    print()


def _median(figure: str, rounds: list[Values]) -> float:
    """Of the rounds that came to a result; 0 if none did."""
    return median([value for values in rounds if (value := values.get(figure))] or [0.0])


def _tried(measure: Callable[[World, float], Values], world: World, seconds: float) -> Values:
    try:
        return measure(world, seconds)
    except (ValueError, KeyError) as error:
        print(f"{world.name} failed: {error}", flush=True)
        return {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench/run relay", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(MEASUREMENTS))
    parser.add_argument("--peers", nargs="*", help=f"of {', '.join(CANDIDATES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--socks", choices=SOCKS_SERVERS, help="through such a SOCKS5 upstream")
    return parser


main()
