"""Tells how its connection ends: by FIN or by RST."""

from __future__ import annotations

import socket
import sys

kind = sys.argv[1]
with socket.create_connection(("192.0.2.7", 7001), 10) as sock:
    sock.sendall(b"x")
    try:
        data = sock.recv(10)
        print(data or "fin")
    except ConnectionResetError:
        print("reset")
