"""Queries of many clients by one recvmmsg(2), and their answers by one sendmmsg(2).

An answer is written over its query, beside which the kernel has put whom it came from, and to which
of our addresses (IP_PKTINFO): the headers that have received serve to send.
"""

from __future__ import annotations

import ctypes
import errno
import socket
from typing import NamedTuple

from cgtproxy.proxy.io.mmsg import MessageArray

SIZE = 4096  # bytes of each: far more than a query needs, and answers over UDP have at most 1232
_NAME, _CONTROL = 28, 64  # bytes: struct sockaddr_in6; one struct in6_pktinfo with its header


class Envelope(NamedTuple):
    """Where a datagram is from, and what it was sent to: socket address and control data."""

    name: bytes
    control: bytes

    @property
    def host(self) -> str:
        """The client's address as text, without a zone."""
        if len(self.name) < _NAME:
            return socket.inet_ntop(socket.AF_INET, self.name[4:8])
        return socket.inet_ntop(socket.AF_INET6, self.name[8:24])


class Batches:
    """Room for one batch of BATCH datagrams; all sockets of a process may share it.

    Datagram n is in `view` from n * SIZE on.
    """

    def __init__(self) -> None:
        self._messages = messages = MessageArray(SIZE, _NAME, _CONTROL)
        self.view = memoryview(messages.data)
        self._sizes = messages.sizes
        # Lengths that the kernel or put() changes, and what they are to be before receive().
        columns = messages.sizes, messages.name_sizes, messages.control_sizes
        self._full = [(column, memoryview(column.tobytes()).cast("I")) for column in columns]

    def receive(self, fd: int) -> list[int]:
        """The sizes of what has come, without waiting; empty if nothing has, or on an error."""
        for column, full in self._full:
            column[:] = full
        count = self._messages.receive(fd)
        return self._messages.received[:count].tolist() if count > 0 else []

    def envelope(self, number: int) -> Envelope:
        """What send_later() needs to answer a received datagram."""
        messages, name, control = self._messages, number * _NAME, number * _CONTROL
        return Envelope(
            bytes(messages.names[name : name + messages.name_sizes[number]]),
            bytes(messages.controls[control : control + messages.control_sizes[number]]),
        )

    def put(self, number: int, answer: bytes) -> None:
        """Write an answer of at most SIZE bytes over a received datagram, for send()."""
        start = number * SIZE
        self.view[start : start + len(answer)] = answer
        self._sizes[number] = len(answer)

    def send(self, fd: int, first: int, end: int) -> None:
        """Send what was put from `first` up to `end`. What the kernel does not take is lost."""
        while first < end:
            sent = self._messages.send(fd, first, end)
            if sent < 0 and ctypes.get_errno() == errno.EAGAIN:
                return
            first += max(sent, 1)  # an error is that of the first

    def send_later(self, fd: int, envelope: Envelope, answer: bytes) -> None:
        """Send one answer, after the batch it belongs to: it takes the room of datagram 0."""
        messages, (name, control) = self._messages, envelope
        messages.names[: len(name)], messages.controls[: len(control)] = name, control
        messages.name_sizes[0], messages.control_sizes[0] = len(name), len(control)
        self.put(0, answer)
        self.send(fd, 0, 1)
