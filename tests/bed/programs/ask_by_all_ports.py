"""Asks 127.0.0.5 for one.example by each port from FIRST to LAST; prints what it answers."""

from __future__ import annotations

import socket
import sys

query = bytes.fromhex("123401000001000000000000036f6e65076578616d706c650000010001")
for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        sock.settimeout(10)
        sock.sendto(query, ("127.0.0.5", 53))
        print(socket.inet_ntoa(sock.recv(1000)[-4:]))
