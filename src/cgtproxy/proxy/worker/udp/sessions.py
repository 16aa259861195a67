"""Which client's datagrams go which way; a session ends when nothing has moved for a while."""

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
    """All datagrams of one client (address and port). `idle` counts sweeps without any."""

    idle: int
    closed: bool

    def forward(self, sockaddr: bytes, data: memoryview) -> None:
        """`sockaddr`: the destination, as the kernel tells it."""

    def sweep(self) -> None: ...

    def close(self) -> None: ...


class Sessions:
    """What the UDP sessions of a process share."""

    def __init__(self, reactor: Reactor, limits: Workers, throttle: Throttle) -> None:
        self.reactor = reactor
        self.mark = limits.mark
        self.buffer = bytearray(1 << 16)
        self.view = memoryview(self.buffer)
        self.replies = Replies(limits.mark, throttle)
        self.icmp_sender = IcmpSender(limits.mark)
        self.mover = DatagramMover()
        self.throttle = throttle
        self.count = 0  # of the ways from a client to a destination
        self._limit = limits.connections
        self._period = limits.udp_timeout / SWEEPS
        self._scheduled = False
        self._tables: list[dict[Address, Session]] = []

    def table(self) -> dict[Address, Session]:
        """A new one, for the sessions of one listener, to be swept with the others."""
        self._tables.append({})
        return self._tables[-1]

    @property
    def open(self) -> bool:
        return any(self._tables)

    def admit(self) -> bool:
        """Whether there may be one more way; then it counts."""
        if self._is_full(self.count):
            return False
        self.count += 1
        return True

    def admit_client(self) -> bool:
        """Whether there may be one more session, which has a socket even if it gets no way."""
        return not self._is_full(sum(map(len, self._tables)))

    def _is_full(self, count: int) -> bool:
        if count < self._limit:
            return False
        wrong = "no more UDP sessions for now"
        self.throttle.warning(wrong, f"{count} are open (workers.connections)")
        return True

    def sweep_later(self) -> None:
        """To be called when there is a session, whether or not it gets a way."""
        if not self._scheduled:
            self._scheduled = True
            self.reactor.after(self._period, self._sweep)

    def no_socket(self, error: OSError) -> None:
        self.throttle.warning("a datagram was lost, there is no socket", f"{error.strerror}")

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


OpenSession = Callable[[int, Address], Session | None]
