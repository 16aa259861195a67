"""Sends a datagram to ADDRESS, whose FAMILY is a number, and tells whether it is refused."""

from __future__ import annotations

import contextlib
import socket
import sys

with socket.socket(int(sys.argv[2]), socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((sys.argv[1], 443))
    with contextlib.suppress(PermissionError):
        sock.send(b"x")
    try:
        sock.recv(10)
    except ConnectionRefusedError:
        print("refused")
