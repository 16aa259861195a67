"""Asks two servers from one socket whether they see one source port; then waits for a stranger."""

from __future__ import annotations

import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    for _ in range(6):
        sock.sendto(b"who\n", ("192.0.2.7", 80))
        first = sock.recv(1000).split()
    sock.sendto(b"who\n", ("198.51.100.9", 80))
    second = sock.recv(1000).split()
    print(first[3:] == second[3:], first[4].decode(), flush=True)
    data, source = sock.recvfrom(1000)
    print(data.decode(), *source, flush=True)
