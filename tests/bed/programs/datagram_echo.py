"""Sends each datagram back, at an address that need not be this host's (transparent)."""

from __future__ import annotations

import socket
import sys

family, level, option = socket.AF_INET, socket.IPPROTO_IP, 19
if ":" in sys.argv[1]:
    family, level, option = socket.AF_INET6, socket.IPPROTO_IPV6, 75
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(level, option, 1)  # transparent
    sock.bind((sys.argv[1], 7100))
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)
