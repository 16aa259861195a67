"""Transfers over TCP whose bytes are checked, in both directions at once.

    transfers.py serve PORT
    transfers.py run ADDRESS PORT PLAN

PLAN is a JSON list of transfers, run at the same time, each with the bytes to send `up` and
`down`, the size of the pieces they are written in, the receive buffer of the `reader` and how it
ends: `fin` (each side half-closes when it has sent all), `close` (the server closes when both have
sent all), `reset` (by the client, in the middle) or `cut` (likewise, by the server). A client
resets only what the server knows of: sooner, nobody need tell the server anything.
Prints one line for each transfer: ok, or what is wrong.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import hashlib
import json
import random
import socket
import struct
import sys
import termios
import threading
import time
from typing import Any

DIGEST = 32
KNOWN = b"!"


def stream(seed: int, size: int, piece: int) -> Any:
    source = random.Random(seed)
    while size > 0:
        data = source.randbytes(min(piece, size))
        size -= len(data)
        yield data


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := sock.recv(size - len(data))):
            raise EOFError(f"ended {size - len(data)} bytes early")
        data += more
    return data


def receive(sock: socket.socket, digest: Any, size: int, piece: int) -> None:
    while size > 0:
        if not (data := sock.recv(min(size, piece))):
            raise EOFError(f"ended {size} bytes early")
        digest.update(data)
        size -= len(data)


def send(sock: socket.socket, size: int, piece: int) -> None:
    """So many bytes and their digest."""
    digest = hashlib.sha256()
    for data in stream(size, size, piece):
        digest.update(data)
        sock.sendall(data)
    sock.sendall(digest.digest())


def send_all(sock: socket.socket, size: int, piece: int) -> None:
    """The same, then FIN."""
    send(sock, size, piece)
    sock.shutdown(socket.SHUT_WR)


SENDERS = {"fin": send_all, "close": send}


def reset(sock: socket.socket) -> None:
    """When it is closed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wait_acknowledged(sock: socket.socket) -> None:
    """An RST that overtakes data, in another CPU's queue, is met by a challenge ACK (RFC 5961), and
    the answer to that comes of no socket, thus of no cgroup: no rule redirects it."""
    left = array.array("i", [1])
    while left[0]:
        fcntl.ioctl(sock, termios.TIOCOUTQ, left)
        time.sleep(0.001)


def check(sock: socket.socket, size: int, piece: int) -> None:
    digest = hashlib.sha256()
    receive(sock, digest, size, piece)
    if read_exactly(sock, DIGEST) != digest.digest():
        raise ValueError("other bytes")


def check_end(sock: socket.socket) -> None:
    if sock.recv(1):
        raise ValueError("more bytes")


def serve_one(sock: socket.socket) -> None:
    with sock:
        try:
            (length,) = struct.unpack("!I", read_exactly(sock, 4))
            wanted = json.loads(read_exactly(sock, length))
            print(exchange(sock, wanted), flush=True)
        except ConnectionResetError:
            print("reset", flush=True)
        except (OSError, EOFError, ValueError) as error:
            print(f"wrong: {error}", flush=True)


def exchange(sock: socket.socket, wanted: dict[str, Any]) -> str:
    up, down, piece = wanted["up"], wanted["down"], wanted["piece"]
    if wanted["end"] == "cut":
        sock.sendall(random.randbytes(down // 2))
        reset(sock)
        return "cut"
    if wanted["end"] == "reset":  # no sender, which could be the one who is told of it
        sock.sendall(KNOWN)
        check(sock, up, piece)
        return "received"
    sender = threading.Thread(target=quietly, args=(SENDERS[wanted["end"]], sock, down, piece))
    sender.start()
    check(sock, up, piece)
    if wanted["end"] == "fin":
        check_end(sock)
    sender.join()
    return "received"


def quietly(function: Any, *arguments: Any) -> None:
    with contextlib.suppress(OSError):
        function(*arguments)


def serve(port: int) -> None:
    listener = socket.create_server(
        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
    )
    print("ready", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


def run_one(address: str, port: int, wanted: dict[str, Any]) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        if wanted["reader"]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted["reader"])
        sock.settimeout(60)
        sock.connect((address, port))
        header = json.dumps(wanted).encode()
        sock.sendall(struct.pack("!I", len(header)) + header)
        if wanted["end"] == "reset":
            read_exactly(sock, len(KNOWN))
            sock.sendall(random.randbytes(wanted["up"] // 2))
            wait_acknowledged(sock)
            reset(sock)
            return "ok"
        down, piece = wanted["down"], wanted["piece"]
        if wanted["end"] == "cut":
            return check_reset(sock, down, piece)
        sender = SENDERS[wanted["end"]]
        up = threading.Thread(target=quietly, args=(sender, sock, wanted["up"], piece))
        up.start()
        check(sock, down, piece)
        check_end(sock)
        up.join()
    return "ok"


def check_reset(sock: socket.socket, size: int, piece: int) -> str:
    try:
        check(sock, size, piece)
    except ConnectionResetError:  # told once: to a sender, if there were one
        return "ok"
    return "not reset"


def run(address: str, port: int, plan: list[dict[str, Any]]) -> None:
    def one(wanted: dict[str, Any]) -> None:
        try:
            result = run_one(address, port, wanted)
        except (OSError, EOFError, ValueError) as error:
            result = f"{wanted}: {type(error).__name__} {error}"
        print(result, flush=True)

    threads = [threading.Thread(target=one, args=(wanted,)) for wanted in plan]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        run(sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
