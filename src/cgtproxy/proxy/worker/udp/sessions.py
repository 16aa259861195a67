"""The UDP sessions of a process, one for each client; an idle one ends after a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cgtproxy.config.model import Workers
from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.io.mmsg import DatagramMover
from cgtproxy.proxy.io.reactor import Reactor
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.worker.udp.icmp import IcmpSender
from cgtproxy.proxy.worker.udp.replies import Replies

SWEEPS = 4  # in the time after which an idle session ends


class Session(Protocol):
    """All datagrams of one client, an address and a port. `idle` counts sweeps without any."""

    idle: int
    closed: bool

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        """Send a datagram on to `sockaddr`: a struct sockaddr, as the kernel tells it."""

    def sweep(self) -> None:
        """End the flows that were idle for too long; called at equal intervals."""

    def close(self) -> None:
        """End the session and all of its flows."""


class Sessions:
    """What the UDP sessions of a process share, and how many of them there may be.

    `buffer` (and `view` of it) has room for any datagram, and is free to use within one callback.
    """

    def __init__(self, reactor: Reactor, limits: Workers, throttle: Throttle) -> None:
        self.reactor = reactor
        self.mark = limits.mark
        self.buffer = bytearray(1 << 16)
        self.view = memoryview(self.buffer)
        self.replies = Replies(limits.mark, throttle)
        self.icmp_sender = IcmpSender(limits.mark)
        self.mover = DatagramMover()
        self.throttle = throttle
        self.count = 0  # of the flows
        self._limit = limits.connections
        self._period = limits.udp_timeout / SWEEPS
        self._scheduled = False
        self._tables: list[dict[Address, Session]] = []

    def table(self) -> dict[Address, Session]:
        """A new one, for the sessions of one listener, to be swept with the others."""
        self._tables.append({})
        return self._tables[-1]

    def replace(self, client: Address, session: Session, successor: Session) -> None:
        """From now on have `successor` instead of `session`, whose client it has."""
        for table in self._tables:
            if table.get(client) is session:
                table[client] = successor

    @property
    def open(self) -> bool:
        """Whether there is any session."""
        return any(self._tables)

    def admit(self) -> bool:
        """Whether there may be one more flow; then it counts."""
        if self._is_full(self.count):
            return False
        self.count += 1
        return True

    def admit_client(self) -> bool:
        """Whether there may be one more session, which has a socket even if it gets no flow."""
        return not self._is_full(sum(map(len, self._tables)))

    def _is_full(self, count: int) -> bool:
        if count < self._limit:
            return False
        problem = "no more UDP sessions for now"
        self.throttle.warning(problem, f"{count} are open (workers.connections)")
        return True

    def sweep_later(self) -> None:
        """To be called when there is a session, whether or not it gets a flow."""
        if not self._scheduled:
            self._scheduled = True
            self.reactor.after(self._period, self._sweep)

    def no_socket(self, reason: str | None) -> None:
        """Log that a datagram was lost, as no socket could be made for it."""
        self.throttle.warning("a datagram was lost, no socket can be opened", f"{reason}")

    def _sweep(self) -> None:
        for table in self._tables:
            for client, session in list(table.items()):
                session.idle += 1
                session.sweep()
                if session.idle > SWEEPS and not session.closed:
                    session.close()
                if session.closed:
                    del table[client]
        self.replies.sweep()
        self._scheduled = False
        if self.open:
            self.sweep_later()


# By address family and client: its session, or None if its datagrams are dropped.
OpenSession = Callable[[int, Address], Session | None]
