"""A client's flows, one for each of its destinations: which ones there may be, and for how long."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from cgtproxy.proxy.fakeip.destinations import Destinations
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import Address, original_destination
from cgtproxy.proxy.worker.gate import Gate
from cgtproxy.proxy.worker.udp.sessions import SWEEPS, Sessions

BUSY_AFTER = 4  # datagrams: a flow that has sent as many gets connected sockets of its own


class Flow(Protocol):
    """Datagrams between one client and one destination.

    `idle` counts sweeps without any. `fake` is the name for which the destination stands, if it is
    a fake-ip address; the session holds a lease on it as long as the flow is there.
    """

    idle: int
    fake: FakeName | None

    def send(self, data: memoryview) -> None:
        """Send a datagram that came to the listener."""

    def close(self) -> None:
        """Give up the flow's sockets."""


class DestinationPolicy(NamedTuple):
    """What decides whether a client of one TPROXY may have a flow to a destination."""

    gate: Gate
    destinations: Destinations


F = TypeVar("F", bound=Flow)


class ClientSession(ABC, Generic[F]):
    """All datagrams of one client, an address and a port.

    `flows` has them by destination: a struct sockaddr, as the kernel tells it with each datagram.
    `idle` counts sweeps without any datagram.
    """

    def __init__(
        self, sessions: Sessions, policy: DestinationPolicy, family: int, client: Address
    ) -> None:
        self.idle = 0
        self.closed = False
        self.sessions = sessions
        self._policy = policy
        self.family = family
        self.client = client
        self.flows: dict[bytes, F] = {}

    @abstractmethod
    def _make(self, destination: Address, fake: FakeName | None) -> F:
        """A flow there; `fake` is the name for which a fake-ip address stands."""

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        """Send a datagram on to `sockaddr`, by a new flow if need be."""
        self.idle = 0
        if flow := self.flows.get(sockaddr) or self._new(sockaddr):
            flow.send(data)

    def _new(self, sockaddr: bytes) -> F | None:
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
        """End the flows that were idle for too long."""
        for flow in self.flows.values():
            flow.idle += 1
        self.close_flows(lambda flow: flow.idle > SWEEPS)

    def close_flows(self, which: Callable[[F], bool] = lambda _: True) -> None:
        """End those flows for which `which` says so."""
        for sockaddr, flow in list(self.flows.items()):
            if which(flow):
                del self.flows[sockaddr]
                flow.close()
                self.sessions.count -= 1
                if flow.fake:
                    self._policy.destinations.leases.release(flow.fake)

    def close(self) -> None:
        """End the session: the next datagram of the client begins another."""
        self.closed = True
        self.close_flows()
