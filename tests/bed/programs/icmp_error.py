"""Sends a datagram to a closed port and tells whether the ICMP error arrives."""

from __future__ import annotations

import socket
import sys

host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((host, 9))
    sock.send(b"x")
    try:
        sock.recv(10)
    except ConnectionRefusedError:
        print("refused")
