"""Ends each connection after its first bytes, by FIN or with the argument `reset` by RST."""

from __future__ import annotations

import socket
import struct
import sys

listener = socket.create_server(("0.0.0.0", 7001))
print("ready", flush=True)
while True:
    sock, _ = listener.accept()
    sock.recv(10)
    if sys.argv[1] == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
