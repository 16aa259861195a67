"""Looks names up as programs do, asks at each address who is there, and tells who answered.

Arguments: tcp|udp, 4|6, rounds, port, names.
"""

from __future__ import annotations

import socket
import sys

protocol, version, rounds, port, *names = sys.argv[1:]
family = socket.AF_INET6 if version == "6" else socket.AF_INET
kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
sock = None
for name in names:
    try:
        to = socket.getaddrinfo(name, int(port), family, kind)[0][4]
    except OSError:
        print(name, "is not found", flush=True)
        continue
    if sock is None or kind == socket.SOCK_STREAM:
        sock = socket.socket(family, kind)
        sock.settimeout(10)
    for number in range(int(rounds)):
        try:
            if kind == socket.SOCK_STREAM:
                if not number:
                    sock.connect(to)
                sock.sendall(b"who\n")
                data, source = sock.recv(1000), to
            elif len(names) > 1:
                sock.sendto(b"who\n", to)
                data, source = sock.recvfrom(1000)
            else:  # to hear of errors
                sock.connect(to)
                sock.send(b"who\n")
                data, source = sock.recvfrom(1000)
        except OSError as error:
            print(name, to[0], to[0], type(error).__name__, flush=True)
            break
        print(name, to[0], source[0], data.decode().strip(), flush=True)
