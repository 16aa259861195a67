"""The two ends of the measured traffic.

    load.py origin                          serves TCP and UDP on port 8000
    load.py WHAT HOST SECONDS NUMBER        measures, and prints JSON

WHAT: `closing` (NUMBER clients connect, ask, and are answered and closed upon, again and again),
`rtt` (one byte there and back), `rtt-socks` (likewise, asking the SOCKS5 server itself), `udp`
(NUMBER flows, 32 datagrams in flight), `udp-new` (each datagram from a new socket), `idle` (NUMBER
connections, held until stdin ends).
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from statistics import median, quantiles
from typing import Any

PORT = 8000
SOCKS = "127.0.0.1", 1080
IN_FLIGHT = 32
QUESTION = b"?" * 64
GRACE = 2.0  # seconds
RESET = struct.pack("ii", 1, 0)


def origin() -> None:
    """Answers what it gets; a question of QUESTION's length is answered and closed upon."""
    listener = socket.create_server(("0.0.0.0", PORT), backlog=4096)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    datagrams.bind(("0.0.0.0", PORT))
    for sock in (listener, datagrams):
        sock.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(datagrams, select.EPOLLIN)
    open_: dict[int, socket.socket] = {}
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                accept(listener, open_, poll)
            elif fd == datagrams.fileno():
                echo(datagrams)
            else:
                answer(open_, fd)


def accept(listener: socket.socket, open_: dict[int, socket.socket], poll: select.epoll) -> None:
    for _ in range(64):
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)


def echo(sock: socket.socket) -> None:
    for _ in range(64):
        try:
            data, peer = sock.recvfrom(2048)
            sock.sendto(data, peer)
        except OSError:
            return


def answer(open_: dict[int, socket.socket], fd: int) -> None:
    sock = open_[fd]
    try:
        data = sock.recv(4096)
        if data:
            sock.send(data)
    except OSError:
        data = b""
    if not data or data == QUESTION:
        del open_[fd]
        sock.close()


def closing(host: str, seconds: float, clients: int) -> dict[str, Any]:
    measured = Closing(host, time.perf_counter() + seconds)
    for _ in range(clients):
        measured.connect()
    measured.run()
    times = measured.times
    return {"rate": len(times) / seconds, "failed": measured.failed, **percentiles(times)}


class Closing:
    """Clients that connect, ask, and are answered and closed upon, again and again until `end`."""

    def __init__(self, host: str, end: float) -> None:
        self.times: list[float] = []  # from before connect() to the answer
        self.failed = 0
        self._host = host
        self._end = end
        self._poll = select.epoll()
        self._began: dict[int, tuple[socket.socket, float]] = {}
        self._answered: set[int] = set()

    def connect(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        self._began[sock.fileno()] = sock, time.perf_counter()
        if sock.connect_ex((self._host, PORT)) not in (0, 115):
            raise OSError("no connection")
        self._poll.register(sock, select.EPOLLOUT)

    def run(self) -> None:
        """The last ones are seen to their end, too: when a client is killed, sockets of the server
        wait for its last ACK, and a later client with the same port must send its SYN twice."""
        while self._began and time.perf_counter() < self._end + GRACE:
            for fd, mask in self._poll.poll(GRACE):
                try:
                    over = self._go_on(fd, mask)
                except OSError:
                    self.failed += 1
                    over = True
                if over:
                    self._close(fd)

    def _go_on(self, fd: int, mask: int) -> bool:
        """Whether the connection is over."""
        sock, start = self._began[fd]
        if mask & select.EPOLLOUT and not mask & select.EPOLLIN:
            sock.send(QUESTION)
            self._poll.modify(fd, select.EPOLLIN)
            return False
        if not sock.recv(100):
            return True
        now = time.perf_counter()
        if fd not in self._answered and now < self._end:
            self._answered.add(fd)
            self.times.append(now - start)
        return False

    def _close(self, fd: int) -> None:
        self._answered.discard(fd)
        self._began.pop(fd)[0].close()
        if time.perf_counter() < self._end:
            self.connect()


def rtt(host: str, seconds: float, _: int) -> dict[str, Any]:
    with socket.create_connection((host, PORT)) as sock:
        return trips(sock, seconds)


def rtt_socks(host: str, seconds: float, _: int) -> dict[str, Any]:
    with socket.create_connection(SOCKS) as sock:
        sock.send(b"\5\1\0")
        sock.recv(2)
        sock.send(b"\5\1\0\1" + socket.inet_aton(host) + PORT.to_bytes(2, "big"))
        sock.recv(10)
        return trips(sock, seconds)


def trips(sock: socket.socket, seconds: float) -> dict[str, Any]:
    times = []
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        sock.send(b"x")
        sock.recv(10)
        times.append(time.perf_counter() - start)
    return percentiles(times)


def udp(host: str, seconds: float, flows: int) -> dict[str, Any]:
    poll = select.epoll()
    socks = {}
    for _ in range(flows):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((host, PORT))
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    each = max(1, IN_FLIGHT // flows) if flows <= IN_FLIGHT else 1
    data = b"x" * 100
    count = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        ready = poll.poll(0.2)
        if not ready:  # at the beginning, and when all were lost
            for sock in list(socks.values())[: IN_FLIGHT if flows > IN_FLIGHT else flows]:
                for _ in range(each):
                    sock.send(data)
        for fd, _ in ready:
            sock = socks[fd]
            try:
                for _ in range(IN_FLIGHT):
                    sock.recv(200)
                    count += 1
                    other = socks[fd] if flows == 1 else next_of(socks, fd)
                    other.send(data)
            except BlockingIOError:
                pass
    return {"rate": count / seconds}


def next_of(socks: dict[int, socket.socket], fd: int) -> socket.socket:
    return socks.get(fd + 1) or next(iter(socks.values()))


def udp_new(host: str, seconds: float, _: int) -> dict[str, Any]:
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            start = time.perf_counter()
            sock.sendto(b"x", (host, PORT))
            with suppress(TimeoutError):  # a lost datagram took that long
                sock.recv(10)
            times.append(time.perf_counter() - start)
    return percentiles(times)


def idle(host: str, _: float, number: int) -> dict[str, Any]:
    held = []
    for _ in range(number):
        sock = socket.create_connection((host, PORT))
        sock.send(b"x")
        sock.recv(10)
        held.append(sock)
    print("{}", flush=True)
    sys.stdin.read()
    for sock in held:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    os._exit(0)


def percentiles(times: list[float]) -> dict[str, Any]:
    """In µs."""
    if len(times) < 100:
        return {"p50": None, "p99": None}
    return {"p50": median(times) * 1e6, "p99": quantiles(times, n=100)[98] * 1e6}


if __name__ == "__main__":
    if sys.argv[1] == "origin":
        origin()
    trip = {"rtt": rtt, "rtt-socks": rtt_socks}
    what = trip | {"closing": closing, "udp": udp, "udp-new": udp_new, "idle": idle}
    measure = what[sys.argv[1]]
    print(json.dumps(measure(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))), flush=True)
