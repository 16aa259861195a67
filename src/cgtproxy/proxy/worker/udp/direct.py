"""UDP to the destinations themselves.

A client has one port for all destinations, so that anybody can answer to it: its NAT is
endpoint-independent in mapping and filtering (RFC 4787), as peer-to-peer programs wish. It begins
with one socket for all of its flows. A flow of more than a few datagrams gets a connected socket
pair of its own, one socket towards each side: then the kernel finds them by itself, and no address
is touched. A flow to a fake-ip address has such a pair from the beginning, as its answers come from
another address.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto

from cgtproxy.proxy.fakeip.destinations import show_both
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import Address, SocketAddress
from cgtproxy.proxy.io.reactor import FAILED
from cgtproxy.proxy.io.sockets import Socket, datagrams, datagrams_beside, spoofing
from cgtproxy.proxy.worker.udp.flows import BUSY_AFTER, ClientSession, DestinationPolicy
from cgtproxy.proxy.worker.udp.pair import Pair
from cgtproxy.proxy.worker.udp.sessions import Sessions

_MOST_WAITING = 32  # datagrams, until a name is looked up
_SIZE = 1 << 16

log = logging.getLogger("cgtproxy")


class DirectSession(ClientSession["DirectFlow"]):
    """A client's datagrams to the destinations themselves.

    `sock` has the client's port in the outside world. `claims` tells, by the real address of a
    destination, which flow is connected to it from this port: one of them can be.
    """

    def __init__(
        self, sessions: Sessions, policy: DestinationPolicy, family: int, client: Address
    ) -> None:
        super().__init__(sessions, policy, family, client)
        self.sock = datagrams(family, sessions.mark)
        self.claims: dict[Address, DirectFlow] = {}
        sessions.reactor.register_datagrams(self.sock.fileno(), self._on_event)

    def _make(self, destination: Address, fake: FakeName | None) -> DirectFlow:
        flow = DirectFlow(self, destination, fake)
        if fake:
            self._policy.destinations.look_up(fake.name, self.family, destination[1], flow.found)
        else:
            flow.start(SocketAddress(self.family, destination))
        return flow

    def _on_event(self, mask: int) -> None:
        if mask & FAILED:
            self.sessions.icmp_sender.pass_on(self.sock, self.client)
        sessions, sock = self.sessions, self.sock
        while True:
            try:
                count, source = sock.recvfrom_into(sessions.buffer, _SIZE)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error, in its queue by now
            self.idle = 0
            sessions.replies.send(self.family, source, self.client, sessions.view[:count])

    def pair(self, flow: DirectFlow, target: SocketAddress) -> Pair:
        """Make a connected socket pair for a flow whose real destination is `target`.

        Raises OSError, as where a server of this host has the address of the destination.
        """
        inner = spoofing(flow.destination, self.family, self.sessions.mark)
        try:
            inner.connect(self.client)
            outer = self._outer(flow, target)
        except OSError:
            inner.close()
            raise
        return Pair(self.sessions, flow, inner, outer)

    def _outer(self, flow: DirectFlow, target: SocketAddress) -> Socket:
        mark = self.sessions.mark
        if target.family == self.family and self.claims.get(target.address) is flow:
            return datagrams_beside(self.sock, target.address, mark)
        # What two names stand for can be one address: answers are told apart by the port.
        outer = datagrams(target.family, mark)
        try:
            outer.connect(target.address)
        except OSError:
            outer.close()
            raise
        return outer

    def close(self) -> None:
        """End all flows, and give up the port."""
        super().close()
        self.sessions.reactor.forget(self.sock.fileno())
        self.sock.close()


class _State(Enum):
    """Where a flow's datagrams go."""

    LOOKING_UP = auto()  # nowhere yet: a few wait until the name's address is known
    SHARED = auto()  # through the session's socket
    PAIRED = auto()  # through a connected socket pair of the flow's own
    CLOSED = auto()


class DirectFlow:
    """Datagrams from the session's client to one destination, and the answers.

    `idle` counts sweeps without any. `fake` is the name for which `destination` stands, if any.
    """

    __slots__ = (
        "_count",
        "_pair",
        "_real",
        "_state",
        "_waiting",
        "destination",
        "fake",
        "idle",
        "session",
    )

    def __init__(self, session: DirectSession, destination: Address, fake: FakeName | None) -> None:
        self.session = session
        self.destination = destination
        self.fake = fake
        self.idle = 0
        self._state = _State.LOOKING_UP
        self._waiting: list[bytes] = []  # datagrams, while the name is looked up
        self._real: SocketAddress | None = None  # of the destination, once that is known
        self._count = 0  # of the datagrams that were sent through the session's socket
        self._pair: Pair | None = None

    def start(self, real: SocketAddress) -> None:
        """Begin with the session's socket, if no other flow is connected to `real` from there."""
        self._state = _State.SHARED
        self._claim(real)
        if self.session.claims[real.address] is not self:
            self._connect_pair(real)

    def found(self, targets: Sequence[SocketAddress]) -> None:
        """Begin with the first address of the name that a socket pair can be connected to.

        This is the end of a look-up, which may have outlived the flow.
        """
        if self._state is _State.CLOSED:
            return
        for target in targets:
            self._claim(target)
            if self._connect_pair(target):
                for data in self._waiting:
                    self.send(memoryview(data))
                self._waiting.clear()
                return
            self._give_up_claim()
        assert self.fake
        session = self.session
        log.debug(
            "udp %s: no address of the name can be reached", show_both(self.fake, self.destination)
        )
        session.sessions.icmp_sender.refuse(session.family, session.client, self.destination)
        session.close_flows(lambda flow: flow is self)

    def send(self, data: memoryview) -> None:
        """Send a datagram that came to the listener, or let it wait."""
        self.idle = 0
        if self._state is _State.SHARED:
            self._send_shared(data)
        elif self._pair:
            try:
                self._pair.outer.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self.failed(self._pair.outer)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(bytes(data))

    def _send_shared(self, data: memoryview) -> None:
        assert self._real
        try:
            self.session.sock.sendto(data, self._real.address)
        except BlockingIOError:
            pass
        except OSError:
            self.failed(self.session.sock)
        self._count += 1
        if self._count == BUSY_AFTER:
            self._connect_pair(self._real)

    def _connect_pair(self, real: SocketAddress) -> bool:
        """Whether there is a pair now; else all stays as it is."""
        try:
            self._pair = self.session.pair(self, real)
        except OSError as error:
            if self.fake:
                self.session.sessions.no_socket(error.strerror)
            return False
        self._state = _State.PAIRED
        return True

    def _claim(self, real: SocketAddress) -> None:
        self._real = real
        self.session.claims.setdefault(real.address, self)

    def _give_up_claim(self) -> None:
        if self._real and self.session.claims.get(self._real.address) is self:
            del self.session.claims[self._real.address]

    def moved(self) -> None:
        """Datagrams went through the pair, in either direction."""
        self.idle = self.session.idle = 0

    def failed(self, sock: Socket) -> None:
        """Pass the ICMP errors on that are in the queue of `sock`."""
        session = self.session
        seen_as = self.destination if self.fake else None
        session.sessions.icmp_sender.pass_on(sock, session.client, seen_as)

    def close(self) -> None:
        """Give the sockets and the claim up. It is the session that forgets the flow."""
        self._state = _State.CLOSED
        self._waiting.clear()
        self._give_up_claim()
        if self._pair:
            self._pair.close()
            self._pair = None
