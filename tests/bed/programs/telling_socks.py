"""A SOCKS5 server that tells of each connection, by its client's port, what becomes of it.

telling_socks.py PORT connect|associate [end|reset]

At SIGUSR1 it ends those that are of no use yet. With `end` or `reset` it ends the second and the
third connection so when they ask.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(64)
idle: set[socket.socket] = set()
turn = itertools.count(1)


def tell(what: str, port: int) -> None:
    os.write(1, f"{what} {port}\n".encode())


def end_idle(*_: object) -> None:
    for sock in list(idle):
        sock.shutdown(socket.SHUT_RDWR)


def connect(sock: socket.socket, port: int) -> None:
    if not sock.recv(3):
        return
    rude = next(turn) in (2, 3) and len(sys.argv) > 3
    sock.sendall(b"\5\0")
    idle.add(sock)
    tell("greeted", port)
    try:
        request = sock.recv(100)
    except OSError:
        request = b""
    idle.discard(sock)
    tell("asked" if request else "ended", port)
    if rude:
        linger = struct.pack("ii", "reset" in sys.argv, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        sock.close()
    elif request:
        host = socket.inet_ntoa(request[4:8])
        remote = socket.create_connection((host, int.from_bytes(request[8:10], "big")))
        sock.sendall(b"\5\0\0\1" + bytes(6))
        pool.submit(pump, remote, sock)
        pump(sock, remote)


def pump(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(1 << 16):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


def associate(control: socket.socket, port: int) -> None:
    control.recv(3)
    control.sendall(b"\5\0")
    if not control.recv(100):
        return
    relay = socket.socket(type=socket.SOCK_DGRAM)
    relay.bind(("127.0.0.1", 0))
    host, number = relay.getsockname()
    control.sendall(b"\5\0\0\1" + socket.inet_aton(host) + number.to_bytes(2, "big"))
    idle.add(control)
    tell("greeted", port)
    pool.submit(pass_on, relay, control, port)
    control.recv(1)
    tell("ended", port)


def pass_on(relay: socket.socket, control: socket.socket, port: int) -> None:
    datagram, client = relay.recvfrom(1 << 16)
    idle.discard(control)
    tell("asked", port)
    remote = socket.socket(type=socket.SOCK_DGRAM)
    host, number = socket.inet_ntoa(datagram[4:8]), int.from_bytes(datagram[8:10], "big")
    remote.sendto(datagram[10:], (host, number))
    relay.sendto(datagram[:10] + remote.recv(1 << 16), client)


if __name__ == "__main__":
    serve = {"connect": connect, "associate": associate}[sys.argv[2]]
    signal.signal(signal.SIGUSR1, end_idle)
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        sock, (_, port) = listener.accept()
        pool.submit(serve, sock, port)
