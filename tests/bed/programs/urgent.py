"""Sends urgent bytes amid a transfer, then its FIN if the argument is `fin`, and reads the answer.

Each urgent byte but the last has become a usual one when the next comes (tcp(7)).
"""

from __future__ import annotations

import socket
import sys

with socket.create_connection(("192.0.2.7", 7001), 30) as sock:
    sock.sendall(b"x" * 3_000_000)
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(b"x" * 3_000_000)
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(b"y" * 1000)
    if sys.argv[1] == "fin":
        sock.shutdown(socket.SHUT_WR)
    print(sock.recv(10))
