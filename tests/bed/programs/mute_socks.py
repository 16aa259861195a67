"""A SOCKS5 server that takes requests and never answers them; it carries no UDP."""

from __future__ import annotations

import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept = []
while True:
    kept.append(listener.accept()[0])
    if kept[-1].recv(3)[:1] == b"\5":
        kept[-1].sendall(b"\5\0")
        if kept[-1].recv(100)[1:2] == b"\3":
            kept.pop().close()
