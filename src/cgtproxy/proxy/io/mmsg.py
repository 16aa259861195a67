"""Many datagrams by one system call: recvmmsg(2) and sendmmsg(2), which Python does not have."""

from __future__ import annotations

import ctypes
import errno
import mmap
import struct

BATCH = 64  # datagrams
SIZE = 65536  # bytes of each; only the pages that are written to take memory
_DONTWAIT = 0x40
_IOVEC = struct.Struct("QQ")  # base, length
# struct mmsghdr on LP64: name, its length, vectors, their number, control data, its length, flags,
# and after that msghdr the number of bytes
_HEADER = struct.Struct("QI4xQQQQi4xI4x")
_LEN = 14  # the place of that number, in 32-bit words
_WORDS = _HEADER.size // 4


class DatagramMover:
    """Moves datagrams from one connected socket to another. One for a process is enough."""

    def __init__(self) -> None:
        if struct.calcsize("P") != 8:
            raise NotImplementedError("recvmmsg is laid out for 64-bit machines here")
        libc = ctypes.PyDLL(None, use_errno=True)
        self._receive, self._send = libc.recvmmsg, libc.sendmmsg
        self._data = mmap.mmap(-1, BATCH * SIZE)  # not a bytearray, which writes to all pages
        vectors, headers = bytearray(_IOVEC.size * BATCH), bytearray(_HEADER.size * BATCH)
        data, first = _address(self._data), _address(vectors)
        for number in range(BATCH):
            _IOVEC.pack_into(vectors, number * _IOVEC.size, data + number * SIZE, SIZE)
            vector = first + number * _IOVEC.size
            _HEADER.pack_into(headers, number * _HEADER.size, 0, 0, vector, 1, 0, 0, 0, 0)
        # The length of each vector, and what was received in each: to be copied in one go.
        spaces = memoryview(vectors).cast("I")[2::4]
        lengths = memoryview(headers).cast("I")[_LEN::_WORDS]
        full = memoryview(bytearray(struct.pack("I", SIZE) * BATCH)).cast("I")
        self._spaces = [spaces[:count] for count in range(BATCH + 1)]
        self._lengths = [lengths[:count] for count in range(BATCH + 1)]
        self._full = [full[:count] for count in range(BATCH + 1)]
        begin = _address(headers)
        self._headers = [ctypes.c_void_p(begin + n * _HEADER.size) for n in range(BATCH)]

    def move(self, source: int, sink: int) -> int:
        """How many were received: fewer than BATCH means that there are no more, -1 an error.

        What `sink` does not take is lost, as datagrams may be.
        """
        count: int = self._receive(source, self._headers[0], BATCH, _DONTWAIT, None)
        if count <= 0:
            return 0 if ctypes.get_errno() == errno.EAGAIN else -1
        self._spaces[count][:] = self._lengths[count]
        self._send_all(sink, count)
        self._spaces[count][:] = self._full[count]
        return count

    def _send_all(self, sink: int, count: int) -> None:
        sent = failed = 0
        while sent < count:
            done: int = self._send(sink, self._headers[sent], count - sent, _DONTWAIT)
            if done > 0:
                sent += done
            elif ctypes.get_errno() == errno.EAGAIN:
                return
            elif failed == sent + 1:  # twice the same: it is the datagram's own fault
                sent += 1
            else:  # perhaps an ICMP error of an earlier one, which is told once
                failed = sent + 1


def _address(buffer: bytearray | mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
