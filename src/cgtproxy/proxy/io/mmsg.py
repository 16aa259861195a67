"""Many datagrams by one system call: recvmmsg(2) and sendmmsg(2), which Python does not have."""

from __future__ import annotations

import ctypes
import errno
import mmap
import sys
from typing import Any

BATCH = 64  # datagrams of one system call
MAX_DATAGRAM = 65536  # bytes
_DONTWAIT = 0x40  # MSG_DONTWAIT


class _Iovec(ctypes.Structure):
    """struct iovec, readv(2)."""

    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    """struct msghdr, recvmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    """struct mmsghdr, recvmmsg(2)."""

    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint))


class MessageArray:
    """BATCH messages as the kernel reads and writes them, with room for their contents.

    Message n has `size` bytes at n * size of `data`; where asked for, `name_size` bytes of `names`
    for a socket address and `control_size` bytes of `controls` for control data. The lengths that
    change from call to call are columns, one number for each message, to be read and set in one go.
    """

    def __init__(self, size: int, name_size: int = 0, control_size: int = 0) -> None:
        # Mapped, so that only pages that are written to take memory: a bytearray writes to all.
        self.data = mmap.mmap(-1, BATCH * size)
        self.names, self.controls = bytearray(BATCH * name_size), bytearray(BATCH * control_size)
        iovecs = bytearray(BATCH * ctypes.sizeof(_Iovec))
        headers = bytearray(BATCH * ctypes.sizeof(_Mmsghdr))
        data, name, control = _address(self.data), _address(self.names), _address(self.controls)
        for n, iovec in enumerate((_Iovec * BATCH).from_buffer(iovecs)):
            iovec.base, iovec.len = data + n * size, size
            hdr = _Mmsghdr.from_buffer(headers, n * ctypes.sizeof(_Mmsghdr)).hdr
            hdr.name, hdr.namelen = name + n * name_size, name_size
            hdr.control, hdr.controllen = control + n * control_size, control_size
            hdr.iov, hdr.iovlen = ctypes.addressof(iovec), 1
        self.sizes = _column(iovecs, _Iovec, _Iovec.len)  # of the data to send, or the room for it
        self.received = _column(headers, _Mmsghdr, _Mmsghdr.len)  # bytes, by the last receive()
        self.name_sizes = _column(headers, _Mmsghdr, _Msghdr.namelen)
        self.control_sizes = _column(headers, _Mmsghdr, _Msghdr.controllen)
        first, step = _address(headers), ctypes.sizeof(_Mmsghdr)
        self._headers = [ctypes.c_void_p(first + n * step) for n in range(BATCH)]
        # PyDLL: without giving up the interpreter's lock, as neither call waits.
        libc = ctypes.PyDLL(None, use_errno=True)
        self._recvmmsg, self._sendmmsg = libc.recvmmsg, libc.sendmmsg

    def receive(self, fd: int) -> int:
        """How many datagrams have come, without waiting; -1 is an error: ctypes.get_errno()."""
        count: int = self._recvmmsg(fd, self._headers[0], BATCH, _DONTWAIT, None)
        return count

    def send(self, fd: int, first: int, end: int) -> int:
        """How many of the messages from `first` up to `end` the kernel took; -1 as receive()."""
        count: int = self._sendmmsg(fd, self._headers[first], end - first, _DONTWAIT)
        return count


class DatagramMover:
    """Moves datagrams from one connected socket to another, unread. A process needs only one."""

    def __init__(self) -> None:
        self._messages = messages = MessageArray(MAX_DATAGRAM)
        full = memoryview(messages.sizes.tobytes()).cast("I")
        # Each cut to any number of messages beforehand, which costs more than copying them.
        self._sizes = [messages.sizes[:count] for count in range(BATCH + 1)]
        self._received = [messages.received[:count] for count in range(BATCH + 1)]
        self._full = [full[:count] for count in range(BATCH + 1)]

    def move(self, source: int, sink: int) -> int:
        """Move what has come to one socket (a descriptor) on by the other, without waiting.

        Returns how many were received: fewer than BATCH if there are no more, -1 for an error of
        `source`, such as an ICMP error. What `sink` does not take is lost, as datagrams may be.
        """
        count = self._messages.receive(source)
        if count <= 0:
            return 0 if ctypes.get_errno() == errno.EAGAIN else -1
        self._sizes[count][:] = self._received[count]
        self._send_all(sink, count)
        self._sizes[count][:] = self._full[count]
        return count

    def _send_all(self, sink: int, count: int) -> None:
        sent = failed = 0
        while sent < count:
            done = self._messages.send(sink, sent, count)
            if done > 0:
                sent += done
            elif ctypes.get_errno() == errno.EAGAIN:
                return
            elif failed == sent + 1:  # twice the same: it is the datagram's own fault
                sent += 1
            else:  # perhaps an ICMP error of an earlier one, which is told once
                failed = sent + 1


def _column(rows: bytearray, row: type[ctypes.Structure], field: Any) -> memoryview[int]:
    """The low 32 bits of one field in each row; no length here needs more."""
    offset = field.offset + (field.size - 4 if sys.byteorder == "big" else 0)
    return memoryview(rows).cast("I")[offset // 4 :: ctypes.sizeof(row) // 4]


def _address(buffer: bytearray | mmap.mmap) -> int:
    """Where it is in memory; an empty one is nowhere (NULL)."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0
