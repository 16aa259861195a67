"""Sends its FIN first, and then reads."""

from __future__ import annotations

import socket

with socket.create_connection(("192.0.2.7", 80), 10) as sock:
    sock.shutdown(socket.SHUT_WR)
    print(sock.recv(10))
