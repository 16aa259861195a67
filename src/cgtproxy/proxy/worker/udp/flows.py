"""A client's ways to its destinations: which ones are let through, and when they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from cgtproxy.proxy.fakeip.destinations import Destinations
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import Address, original_destination
from cgtproxy.proxy.worker.gate import Gate
from cgtproxy.proxy.worker.udp.sessions import SWEEPS, Sessions


class Flow(Protocol):
    """`idle` counts sweeps without any datagram. `fake` is held as long as the way is there."""

    idle: int
    fake: FakeName | None

    def send(self, data: memoryview) -> None:
        """A datagram that came to the listener."""

    def close(self) -> None: ...


class DestinationPolicy(NamedTuple):
    """What decides about the destinations of one TPROXY."""

    gate: Gate
    destinations: Destinations


W = TypeVar("W", bound=Flow)


class ClientSession(ABC, Generic[W]):
    """All datagrams of one client; its ways are kept by destination, as the kernel tells it."""

    def __init__(
        self, sessions: Sessions, policy: DestinationPolicy, family: int, client: Address
    ) -> None:
        self.idle = 0
        self.closed = False
        self.sessions = sessions
        self._policy = policy
        self.family = family
        self.client = client
        self.flows: dict[bytes, W] = {}

    @abstractmethod
    def _make(self, destination: Address, fake: FakeName | None) -> W:
        """A way there; a fake-ip address has its name."""

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        self.idle = 0
        if flow := self.flows.get(sockaddr) or self._new(sockaddr):
            flow.send(data)

    def _new(self, sockaddr: bytes) -> W | None:
        destination = original_destination(self.family, sockaddr)
        gate, destinations = self._policy
        if gate.refuses(self.family, destination):
            return None
        fake = destinations.find(destination[0])
        if fake and not fake.name:
            destinations.tell_unknown(destination)
            self.sessions.icmp_sender.refuse(self.family, self.client, destination)
            return None
        if not self.sessions.admit():
            return None
        if fake:
            destinations.leases.take(fake)
        flow = self.flows[sockaddr] = self._make(destination, fake)
        return flow

    def sweep(self) -> None:
        for flow in self.flows.values():
            flow.idle += 1
        self.close_flows(lambda flow: flow.idle > SWEEPS)

    def close_flows(self, which: Callable[[W], bool] = lambda _: True) -> None:
        for sockaddr, flow in list(self.flows.items()):
            if which(flow):
                del self.flows[sockaddr]
                flow.close()
                self.sessions.count -= 1
                if flow.fake:
                    self._policy.destinations.leases.release(flow.fake)

    def close(self) -> None:
        self.closed = True
        self.close_flows()
