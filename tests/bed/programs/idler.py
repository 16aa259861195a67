"""Has a connection without traffic, and tells when it is reset."""

from __future__ import annotations

import socket

with socket.create_connection(("192.0.2.7", 80), 10) as sock:
    sock.settimeout(30)
    sock.sendall(b"who\n")
    sock.recv(1000)
    try:
        sock.recv(1000)
    except ConnectionResetError:
        print("reset")
