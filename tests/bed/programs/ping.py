"""One echo request over an ICMP socket. Arguments: family, protocol, type, host."""

from __future__ import annotations

import socket
import sys

family, protocol, echo_request, host = *map(int, sys.argv[1:4]), sys.argv[4]
with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
    sock.settimeout(5)
    sock.connect((host, 0))
    sock.send(bytes((echo_request, 0, 0, 0, 0, 0, 0, 1)))
    sock.recv(100)
