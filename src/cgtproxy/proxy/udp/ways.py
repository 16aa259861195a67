"""A client's ways to its destinations: which ones are let through, and when they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from cgtproxy.proxy.addresses import Address, original_destination
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.names.destinations import Destinations
from cgtproxy.proxy.udp.sessions import SWEEPS, Sessions


class Way(Protocol):
    """`idle` counts sweeps without any datagram. `fake` is held as long as the way is there."""

    idle: int
    fake: FakeName | None

    def send(self, data: memoryview) -> None:
        """A datagram that came to the listener."""

    def close(self) -> None: ...


class Gate(Protocol):
    def refuses(self, family: int, destination: Address) -> bool: ...


class Doors(NamedTuple):
    """What decides about the destinations of one TPROXY."""

    gate: Gate
    destinations: Destinations


W = TypeVar("W", bound=Way)


class ClientSession(ABC, Generic[W]):
    """All datagrams of one client; its ways are kept by destination, as the kernel tells it."""

    def __init__(self, sessions: Sessions, doors: Doors, family: int, client: Address) -> None:
        self.idle = 0
        self.closed = False
        self.sessions = sessions
        self._doors = doors
        self.family = family
        self.client = client
        self.ways: dict[bytes, W] = {}

    @abstractmethod
    def _make(self, destination: Address, fake: FakeName | None) -> W:
        """A way there; a made-up address has its name."""

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        self.idle = 0
        if way := self.ways.get(sockaddr) or self._new(sockaddr):
            way.send(data)

    def _new(self, sockaddr: bytes) -> W | None:
        destination = original_destination(self.family, sockaddr)
        gate, destinations = self._doors
        if gate.refuses(self.family, destination):
            return None
        fake = destinations.find(destination[0])
        if fake and not fake.name:
            destinations.tell_unknown(destination)
            self.sessions.messenger.refuse(self.family, self.client, destination)
            return None
        if not self.sessions.admit():
            return None
        if fake:
            destinations.leases.take(fake)
        way = self.ways[sockaddr] = self._make(destination, fake)
        return way

    def sweep(self) -> None:
        for way in self.ways.values():
            way.idle += 1
        self.close_ways(lambda way: way.idle > SWEEPS)

    def close_ways(self, which: Callable[[W], bool] = lambda _: True) -> None:
        for sockaddr, way in list(self.ways.items()):
            if which(way):
                del self.ways[sockaddr]
                way.close()
                self.sessions.count -= 1
                if way.fake:
                    self._doors.destinations.leases.release(way.fake)

    def close(self) -> None:
        self.closed = True
        self.close_ways()
