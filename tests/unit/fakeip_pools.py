"""Pools with a clock that is set by hand."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip.ranges import Ranges
from cgtproxy.proxy.fakeip.slot_table import IN_USE, SlotTable

LONG = IN_USE + 1.0  # seconds after which nothing is in use any more


class Clock:
    """Starts at a time that is no whole second, as a computer's does."""

    def __init__(self) -> None:
        self.time = 1234.625

    def __call__(self) -> float:
        return self.time


def small(bits: int, first: str = "10.9.8.0") -> FakePool:
    """A pool of 2**bits - 2 slots."""
    return FakePool(IPv4Network(f"{first}/{32 - bits}"), IPv6Network(f"fd00::/{128 - bits}"))


def table_of(bits: int, clock: Clock) -> SlotTable:
    return SlotTable(Ranges(small(bits)), clock)
