"""Begins many downloads and gives them up, by FIN or RST, before or after the first bytes."""

from __future__ import annotations

import socket
import struct
import sys

address = sys.argv[1], int(sys.argv[2])
socks = [socket.create_connection(address, 10) for _ in range(30)]
for number, sock in enumerate(socks):
    sock.sendall(b"GET /3000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    if number % 3:
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    if number % 2:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
