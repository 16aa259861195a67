"""What is measured, each in one world: figures by name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from relay.world import World

Values = dict[str, float | None]
# Of these, more is better; of all others, less.
MORE = ("Gbit/s", "closing/s", "packets/s")


def _transfer(world: World, seconds: int, streams: int, direction: str) -> Values:
    rate, cpu = world.iperf(seconds, streams, down=direction == "down")
    what = f"{streams} {direction}"
    return {f"{what}, Gbit/s": rate, f"{what}, CPU s/GB": cpu}


def down(world: World, seconds: int) -> Values:
    """One transfer to the client."""
    return _transfer(world, seconds, 1, "down")


def up(world: World, seconds: int) -> Values:
    """One transfer from the client."""
    return _transfer(world, seconds, 1, "up")


def streams(world: World, seconds: int) -> Values:
    """Eight transfers at once, each way."""
    return _transfer(world, seconds, 8, "down") | _transfer(world, seconds, 8, "up")


def closing(world: World, seconds: int) -> Values:
    """32 clients that connect, ask, are answered, and again."""
    few = world.load("closing", seconds, 32)
    return {"closing/s, 32 clients": few["rate"], "closing, 32, CPU µs": few["cost"]}


def crowd(world: World, seconds: int) -> Values:
    """500 of them."""
    many = world.load("closing", seconds, 500)
    return {"closing/s, 500 clients": many["rate"], "closing, 500, CPU µs": many["cost"]}


def set_up(world: World, seconds: int) -> Values:
    """One client alone: from before connect(2) to the answer."""
    one = world.load("closing", seconds, 1)
    return {"set-up p50, µs": one["p50"], "set-up p99, µs": one["p99"]}


def socks(world: World, seconds: int) -> Values:
    """32 clients, and one alone, through a SOCKS5 server."""
    return closing(world, seconds) | set_up(world, seconds)


def trips(world: World, seconds: int) -> Values:
    """A byte there and back, alone and beside a transfer to the client."""
    alone = world.load("rtt", seconds)
    argv = ["iperf3", "-c", world.origin, "-R", "-t", str(seconds + 1)]
    with world.client(argv, stdout=subprocess.DEVNULL) as transfer:
        loaded = world.load("rtt", seconds)
        transfer.wait()
    return {
        "trip p50, µs": alone["p50"],
        "trip under bulk p50, µs": loaded["p50"],
        "trip under bulk p99, µs": loaded["p99"],
    }


def datagrams(world: World, seconds: int) -> Values:
    """32 datagrams in flight, in one flow."""
    one = world.load("udp", seconds, 1)
    return {"UDP packets/s": one["rate"], "CPU µs a packet": one["cost"]}


def memory(world: World, _: int) -> Values:
    """All processes of the server with 1,000 idle connections."""
    return {"MB with 1,000 idle connections": world.memory_with_idle(1000)}


MEASUREMENTS: dict[str, Callable[[World, int], Values]] = {
    "down": down,
    "up": up,
    "streams": streams,
    "closing": closing,
    "crowd": crowd,
    "set-up": set_up,
    "socks": socks,
    "trips": trips,
    "datagrams": datagrams,
    "memory": memory,
}
