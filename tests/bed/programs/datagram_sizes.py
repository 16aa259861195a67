"""Sends datagrams of many sizes to an echo, singly and in bursts, and compares what comes back.

Arguments: the echo's address, the largest size.
"""

from __future__ import annotations

import random
import socket
import sys

SIZES = [0, 1, 2, 3, 1200, 1252, 1350, 1452, 1472, 9000, 40000, 65000]  # bytes

host, largest = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((host, 7100))
    for size in [size for size in SIZES if size <= largest] * 5:
        data = random.randbytes(size)
        sock.send(data)
        assert sock.recv(65536) == data, size
    for _ in range(20):
        burst = [random.randbytes(random.randrange(1400)) for _ in range(30)]
        for data in burst:
            sock.send(data)
        assert sorted(sock.recv(65536) for _ in burst) == sorted(burst)
print("ok")
