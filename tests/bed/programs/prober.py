"""Tells, from inside the cgroup that it runs in, whom a destination is really answered by.

    prober.py INTERVAL TIMEOUT PROTOCOL,ADDRESS,PORT...

Probes every destination at once, from a fresh socket; again every INTERVAL seconds until
SIGTERM, or just once if INTERVAL is 0. Prints one line a probe, fields separated by tabs:
start and end (CLOCK_MONOTONIC, ns), the destination as given, and what came of it: the
server's answer, or one word such as timeout, refused, unreachable, denied.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import struct
import sys
import time

FAILURES = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
}
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


async def ask(sock: socket.socket, address: tuple[str, int]) -> str:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, b"who\n")
    return (await loop.sock_recv(sock, 2048)).decode().strip() or "closed"


async def probe(destination: str, timeout: float) -> None:
    protocol, host, port = destination.split(",")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    start = time.monotonic_ns()
    with socket.socket(family, KINDS[protocol]) as sock:
        sock.setblocking(False)
        if protocol == "tcp":  # close by RST: no TIME_WAIT, so that ports do not run out
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            outcome = await asyncio.wait_for(ask(sock, (host, int(port))), timeout)
        except TimeoutError:
            outcome = "timeout"
        except OSError as error:
            number = error.errno or 0
            outcome = FAILURES.get(number) or errno.errorcode.get(number, str(error))
    print(start, time.monotonic_ns(), destination, outcome, sep="\t", flush=True)


async def main(interval: float, timeout: float, destinations: list[str]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as probes:
        while True:
            for destination in destinations:
                probes.create_task(probe(destination, timeout))
            if not interval:
                return
            try:
                await asyncio.wait_for(stop.wait(), interval)
                return
            except TimeoutError:
                continue


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
