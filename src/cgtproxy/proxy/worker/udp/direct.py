"""UDP to the destinations themselves.

A client has one port for all destinations, so that anybody can answer to it: its NAT is
endpoint-independent in mapping and filtering (RFC 4787), as peer-to-peer programs wish. It begins
with one socket. A destination that gets more than a few datagrams has two of its own on the way,
one towards each side: then the kernel finds them by itself, and no address is touched. A fake-ip
destination has them from the beginning, as its answers come from another address.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cgtproxy.proxy.fakeip.destinations import show_both
from cgtproxy.proxy.fakeip.names import FakeName
from cgtproxy.proxy.io.addresses import Address, SocketAddress
from cgtproxy.proxy.io.reactor import FAILED
from cgtproxy.proxy.io.sockets import Socket, datagrams, datagrams_beside, spoofing
from cgtproxy.proxy.worker.udp.flows import ClientSession, DestinationPolicy
from cgtproxy.proxy.worker.udp.pair import Pair
from cgtproxy.proxy.worker.udp.sessions import Sessions

_BUSY = 4  # datagrams, after which a way gets sockets of its own
_MOST_WAITING = 32  # datagrams, until a name is looked up
_SIZE = 1 << 16

log = logging.getLogger("cgtproxy")


class DirectSession(ClientSession["DirectFlow"]):
    def __init__(
        self, sessions: Sessions, policy: DestinationPolicy, family: int, client: Address
    ) -> None:
        super().__init__(sessions, policy, family, client)
        self.sock = datagrams(family, sessions.mark)
        self.claims: dict[Address, DirectFlow] = {}  # who goes where from the client's port
        sessions.reactor.register_datagrams(self.sock.fileno(), self._on_event)

    def _make(self, destination: Address, fake: FakeName | None) -> DirectFlow:
        flow = DirectFlow(self, destination, fake)
        if fake:
            self._policy.destinations.look_up(fake.name, self.family, destination[1], flow.found)
        else:
            flow.go_to(SocketAddress(self.family, destination))
            if self.claims[destination] is not flow:
                flow.promote()
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
        """Raises OSError, as where a server of this host has the way's address."""
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
        super().close()
        self.sessions.reactor.forget(self.sock.fileno())
        self.sock.close()


class DirectFlow:
    """From the session's client to one destination, and back. `real` is where that is, if known."""

    __slots__ = ("_count", "_pair", "_waiting", "destination", "fake", "idle", "real", "session")

    def __init__(self, session: DirectSession, destination: Address, fake: FakeName | None) -> None:
        self.session = session
        self.destination = destination
        self.fake = fake
        self.idle = self._count = 0
        self.real: SocketAddress | None = None
        self._waiting: list[bytes] | None = [] if fake else None
        self._pair: Pair | None = None

    def found(self, targets: Sequence[SocketAddress]) -> None:
        """The end of a look-up, which may have outlived this way."""
        if self._waiting is None:
            return
        session = self.session
        for target in targets:
            self.go_to(target)
            if self.promote():
                for data in self._waiting:
                    self.send(memoryview(data))
                self._waiting = None
                return
            self._leave()
        assert self.fake
        log.debug("udp %s: there is no way", show_both(self.fake, self.destination))
        session.sessions.icmp_sender.refuse(session.family, session.client, self.destination)
        session.close_flows(lambda flow: flow is self)

    def go_to(self, target: SocketAddress) -> None:
        self.real = target
        self.session.claims.setdefault(target.address, self)

    def _leave(self) -> None:
        if self.real and self.session.claims.get(self.real.address) is self:
            del self.session.claims[self.real.address]
        self.real = None

    def promote(self) -> bool:
        assert self.real
        try:
            self._pair = self.session.pair(self, self.real)
        except OSError as error:
            if self.fake:
                self.session.sessions.no_socket(error)
            return False
        return True

    def send(self, data: memoryview) -> None:
        self.idle = 0
        if self.real is None:
            if self._waiting is not None and len(self._waiting) < _MOST_WAITING:
                self._waiting.append(bytes(data))
            return
        self._count += 1
        try:
            if self._pair:
                self._pair.outer.send(data)
            else:
                self.session.sock.sendto(data, self.real.address)
        except BlockingIOError:
            pass
        except OSError:
            self.failed(self._pair.outer if self._pair else self.session.sock)
        if self._count == _BUSY and not self._pair:
            self.promote()

    def moved(self) -> None:
        self.idle = self.session.idle = 0

    def failed(self, sock: Socket) -> None:
        session = self.session
        seen_as = self.destination if self.fake else None
        session.sessions.icmp_sender.pass_on(sock, session.client, seen_as)

    def close(self) -> None:
        self._waiting = None
        self._leave()
        if self._pair:
            self._pair.close()
            self._pair = None
