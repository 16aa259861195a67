"""A SOCKS5 server that gives a name as the address of its UDP relay."""

from __future__ import annotations

import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept = []
while True:
    kept.append(listener.accept()[0])
    if kept[-1].recv(3):
        kept[-1].sendall(b"\5\0")
        if kept[-1].recv(100):
            kept[-1].sendall(b"\5\0\0\3\x0dproxy.example\0\x35")
