"""Sends a datagram to ADDRESS PORT from an address that nobody has written to."""

from __future__ import annotations

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, 19, 1)
    sock.bind(("203.0.113.5", 4444))
    sock.sendto(b"stranger", (sys.argv[1], int(sys.argv[2])))
