"""Connects; at a line of input closes, by RST where the line is `reset`; then waits."""

from __future__ import annotations

import socket
import struct
import sys

port, family, kind = map(int, sys.argv[2:])
with socket.socket(family, kind) as sock:
    sock.connect((sys.argv[1], port))
    if kind == socket.SOCK_DGRAM:
        sock.send(b"hello")
    print("connected", flush=True)
    if sys.stdin.readline() == "reset\n":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print("closed", flush=True)
sys.stdin.readline()
