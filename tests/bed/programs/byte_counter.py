"""Counts the bytes of a transfer that has urgent data in between; answers when all have come."""

from __future__ import annotations

import socket

listener = socket.create_server(("0.0.0.0", 7001))
print("ready", flush=True)
while True:
    sock, _ = listener.accept()
    count = 0
    while data := sock.recv(1 << 20):
        count += data.count(b"x") + data.count(b"y")
        if count == 6_001_000:
            sock.sendall(b"all")
