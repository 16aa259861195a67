"""Sends datagrams: a number on stdin, nanoseconds of CPU time for each on stdout.

sendmmsg(2), so that the kernel's part is not lost in the interpreter's.
usage: python sender.py ADDRESS
"""

from __future__ import annotations

import ctypes
import socket
import sys
import time

AT_ONCE = 64


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iovecs", ctypes.POINTER(Iovec)),
        ("iovecs_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


def main() -> None:
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.connect((sys.argv[1], 9000))
    payload = Iovec(b"x" * 32, 32)
    messages = (Message * AT_ONCE)()
    for message in messages:
        message.iovecs, message.iovecs_length = ctypes.pointer(payload), 1
    sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
    for line in sys.stdin:
        left = count = int(line)
        begin = time.thread_time_ns()
        while left > 0:
            sent = sendmmsg(sink.fileno(), messages, AT_ONCE, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            left -= sent
        print((time.thread_time_ns() - begin) / count, flush=True)


main()
