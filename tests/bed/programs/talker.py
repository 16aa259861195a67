"""One socket that talks as long as it is told to.

    talker.py PROTOCOL ADDRESS PORT

For each line of stdin, a number N, sends N questions at once and prints the N answers, or why
there is none. Several datagrams from one port are what a resolver sends for A and AAAA.
"""

from __future__ import annotations

import socket
import sys

TIMEOUT = 2.0


def ask(sock: socket.socket, questions: int) -> list[str]:
    """The answers; as TCP may join them they are split by lines, for UDP too."""
    for _ in range(questions):
        sock.send(b"who\n")
    data = b""
    while data.count(b"\n") < questions:
        if not (more := sock.recv(2048)):
            return ["closed"]
        data += more
    return data.decode().splitlines()


def main(protocol: str, host: str, port: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect((host, int(port)))
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                answers = ask(sock, int(line))
            except OSError as error:
                answers = ["timeout" if isinstance(error, TimeoutError) else type(error).__name__]
            print(*answers, sep="\n", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
