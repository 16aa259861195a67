"""Is written to by a stranger, after its own first datagram, and answers."""

from __future__ import annotations

import socket
import sys

host, family = sys.argv[1], int(sys.argv[2])
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.sendto(b"hello", (host, 80))
    _, stranger = sock.recvfrom(100)
    for word in (b"nice", b"to", b"meet you"):
        sock.sendto(word, stranger)
