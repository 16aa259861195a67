"""Datagrams of many clients by one system call each way: recvmmsg(2) and sendmmsg(2).

An answer is written over its query, where the kernel has put beside it whom it came from, and to
which of our addresses (IP_PKTINFO): the same headers that received serve to send.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from typing import Any, NamedTuple

BATCH = 64  # datagrams
SIZE = 4096  # bytes of each, far more than any question has, and UDP answers have 1232 at most
_NAME, _CONTROL = 28, 64  # bytes: struct sockaddr_in6; one struct in6_pktinfo with its header
_DONTWAIT = 0x40


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct msghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Header(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("message", _Message), ("received", ctypes.c_uint))


class Envelope(NamedTuple):
    """Where a datagram is from, and what it was addressed to, as the kernel writes it."""

    name: bytes
    control: bytes

    @property
    def host(self) -> str:
        """The address that it is from, without a zone."""
        if len(self.name) < _NAME:
            return socket.inet_ntop(socket.AF_INET, self.name[4:8])
        return socket.inet_ntop(socket.AF_INET6, self.name[8:24])


class Batches:
    """Room for one batch; all sockets of a process may use the same."""

    def __init__(self) -> None:
        libc = ctypes.PyDLL(None, use_errno=True)
        self._receive, self._send = libc.recvmmsg, libc.sendmmsg
        self._data, self._names, self._controls, vectors, headers = (
            bytearray(BATCH * size)
            for size in (SIZE, _NAME, _CONTROL, ctypes.sizeof(_Vector), ctypes.sizeof(_Header))
        )
        self._lay_out(vectors, headers)
        self.view = memoryview(self._data)
        # The fields that change, of all messages: to be read and set in one go.
        self._sizes = _column(vectors, _Vector.size, _Vector)
        self._name_sizes = _column(headers, _Message.name_size, _Header)
        self._control_sizes = _column(headers, _Message.control_size, _Header)
        self._received = _column(headers, _Header.received, _Header)
        self._full = [
            (column, _words(full.to_bytes(column.itemsize, sys.byteorder) * BATCH, column.itemsize))
            for column, full in (
                (self._sizes, SIZE),
                (self._name_sizes, _NAME),
                (self._control_sizes, _CONTROL),
            )
        ]
        begin, step = _address(headers), ctypes.sizeof(_Header)
        self._headers = [ctypes.c_void_p(begin + number * step) for number in range(BATCH)]

    def _lay_out(self, vectors: bytearray, headers: bytearray) -> None:
        for number in range(BATCH):
            vector = _Vector.from_buffer(vectors, number * ctypes.sizeof(_Vector))
            vector.base = _address(self._data) + number * SIZE
            message = _Header.from_buffer(headers, number * ctypes.sizeof(_Header)).message
            message.name = _address(self._names) + number * _NAME
            message.vectors = ctypes.addressof(vector)
            message.vector_count = 1
            message.control = _address(self._controls) + number * _CONTROL

    def receive(self, fd: int) -> list[int]:
        """The sizes of what has come; number n is in `view` at n * SIZE. Empty if there is none."""
        for column, full in self._full:
            column[:] = full
        count: int = self._receive(fd, self._headers[0], BATCH, _DONTWAIT, None)
        return self._received[:count].tolist() if count > 0 else []

    def envelope(self, number: int) -> Envelope:
        """To answer a received datagram later."""
        name, control = number * _NAME, number * _CONTROL
        return Envelope(
            bytes(self._names[name : name + self._name_sizes[number]]),
            bytes(self._controls[control : control + self._control_sizes[number]]),
        )

    def put(self, number: int, answer: bytes) -> None:
        """In the place of a received datagram, to be sent where that came from."""
        start = number * SIZE
        self.view[start : start + len(answer)] = answer
        self._sizes[number] = len(answer)

    def send(self, fd: int, first: int, end: int) -> None:
        """What was put from `first` up to `end`. What the kernel does not take is lost."""
        while first < end:
            sent: int = self._send(fd, self._headers[first], end - first, _DONTWAIT)
            if sent < 0 and ctypes.get_errno() == errno.EAGAIN:
                return
            first += max(sent, 1)  # an error is that of the first

    def send_later(self, fd: int, envelope: Envelope, answer: bytes) -> None:
        """Not while a batch is being answered."""
        name, control = envelope
        self._names[: len(name)], self._controls[: len(control)] = name, control
        self._name_sizes[0], self._control_sizes[0] = len(name), len(control)
        self.put(0, answer)
        self.send(fd, 0, 1)


def _column(rows: bytearray, field: Any, row: type[ctypes.Structure]) -> memoryview[int]:
    """One field of an array of structures, which is an int or a size_t."""
    words = _words(rows, field.size)
    return words[field.offset // field.size :: ctypes.sizeof(row) // field.size]


def _words(rows: bytes | bytearray, size: int) -> memoryview[int]:
    return memoryview(rows).cast("I") if size == 4 else memoryview(rows).cast("L")


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
