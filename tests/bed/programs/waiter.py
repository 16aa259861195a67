"""Asks who is there, then tells how its connection ends."""

from __future__ import annotations

import socket

with socket.create_connection(("192.0.2.7", 80), 10) as sock:
    sock.settimeout(60)
    sock.sendall(b"who\n")
    print(sock.recv(1000).decode(), flush=True)
    try:
        print(sock.recv(1000))
    except ConnectionResetError:
        print("reset")
    except ConnectionAbortedError:
        print("killed")
