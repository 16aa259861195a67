"""A client's ways to its destinations: which ones are let through, and when they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.names.destinations import Destinations
from cgtproxy.proxy.sockets import Address, original_destination
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


class Ways(Generic[W]):
    """By destination, as the kernel tells it. `make` makes one; a made-up address has its name."""

    def __init__(
        self,
        sessions: Sessions,
        doors: Doors,
        family: int,
        client: Address,
        make: Callable[[Address, FakeName | None], W],
    ) -> None:
        self._sessions = sessions
        self._doors = doors
        self._family = family
        self._client = client
        self._make = make
        self._open: dict[bytes, W] = {}
        self.values = self._open.values

    def get(self, sockaddr: bytes) -> W | None:
        """The way there; None if there is no way."""
        return self._open.get(sockaddr) or self._new(sockaddr)

    def _new(self, sockaddr: bytes) -> W | None:
        destination = original_destination(self._family, sockaddr)
        gate, destinations = self._doors
        if gate.refuses(self._family, destination):
            return None
        fake = destinations.find(destination[0])
        if fake and not fake.name:
            destinations.tell_unknown(destination)
            self._sessions.messenger.refuse(self._family, self._client, destination)
            return None
        if not self._sessions.admit():
            return None
        if fake:
            destinations.leases.take(fake)
        way = self._open[sockaddr] = self._make(destination, fake)
        return way

    def sweep(self) -> None:
        for way in self.values():
            way.idle += 1
        self.close(lambda way: way.idle > SWEEPS)

    def end(self) -> None:
        """Close all, for good."""
        self.close()
        del self._make  # a method of whose ways these are: the garbage collector would be needed

    def close(self, which: Callable[[W], bool] = lambda _: True) -> None:
        for sockaddr, way in list(self._open.items()):
            if which(way):
                del self._open[sockaddr]
                way.close()
                self._sessions.count -= 1
                if way.fake:
                    self._doors.destinations.leases.release(way.fake)
