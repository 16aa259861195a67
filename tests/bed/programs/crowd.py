"""Thousands of flows at once, and the server that they talk to.

    crowd.py serve PORT
    crowd.py run PROTOCOL PORT TIMEOUT COUNT ADDRESS...

`serve` sends back whatever comes, over TCP and UDP, from the address at which it came. `run` has
COUNT sockets of PROTOCOL (tcp or udp), connected to the addresses in turn. For each line that it
reads, each of them sends a message of its own and waits for just that to come back; then it
prints how many of them got it, and why the others did not in TIMEOUT seconds. It closes them all
at the end of its input.
"""

from __future__ import annotations

import asyncio
import collections
import secrets
import socket
import struct
import sys
from typing import Any

SIZE = 16  # bytes of a message
AGAIN = 2.0  # seconds, after which a datagram that was not answered is sent again
SO_RCVBUFFORCE, IPV6_TRANSPARENT = 33, 75
BUFFER = 16 << 20
_PACKET_INFO = struct.Struct("16sI")  # struct in6_pktinfo


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(SIZE):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


def echo_datagrams(sock: socket.socket) -> None:
    try:
        while True:
            data, control, _, peer = sock.recvmsg(2048, 256)
            ((level, kind, info),) = control
            address, _ = _PACKET_INFO.unpack(info)
            sock.sendmsg([data], [(level, kind, _PACKET_INFO.pack(address, 0))], 0, peer)
    except BlockingIOError:
        pass


async def serve(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)  # to answer from any address
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        sock.bind(("::", port))
        asyncio.get_running_loop().add_reader(sock, echo_datagrams, sock)
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096
        )
        await asyncio.start_server(echo, sock=listener, backlog=4096)
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


class Flow:
    def __init__(self, protocol: str, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = protocol == "udp"
        self.sock = socket.socket(family, socket.SOCK_DGRAM if self.udp else socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.destination = address, port
        self.connected = False

    async def ask(self, patience: float) -> str:
        try:
            return await asyncio.wait_for(self._ask(), patience)
        except (OSError, EOFError) as error:
            return type(error).__name__

    async def _ask(self) -> str:
        loop = asyncio.get_running_loop()
        if not self.connected:
            await loop.sock_connect(self.sock, self.destination)
            self.connected = True
        message = secrets.token_bytes(SIZE)
        while True:
            await loop.sock_sendall(self.sock, message)
            if not self.udp:
                return "right" if await self._receive() == message else "wrong"
            try:
                await asyncio.wait_for(self._find(message), AGAIN)
                return "right"
            except TimeoutError:
                continue

    async def _receive(self) -> bytes:
        data = b""
        while len(data) < SIZE:
            more = await asyncio.get_running_loop().sock_recv(self.sock, SIZE - len(data))
            if not more:
                raise EOFError("closed")
            data += more
        return data

    async def _find(self, message: bytes) -> None:
        """Among the answers, for those to what was sent twice may come twice."""
        while await asyncio.get_running_loop().sock_recv(self.sock, 2048) != message:
            pass


async def run(protocol: str, port: str, patience: str, count: str, *addresses: str) -> None:
    flows = [
        Flow(protocol, addresses[number % len(addresses)], int(port))
        for number in range(int(count))
    ]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        outcomes: Any = collections.Counter(
            await asyncio.gather(*(flow.ask(float(patience)) for flow in flows))
        )
        print(*(f"{times} {how}" for how, times in outcomes.items()), sep=", ", flush=True)
    for flow in flows:
        flow.sock.close()
    print("closed", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[2])) if sys.argv[1] == "serve" else run(*sys.argv[2:]))
