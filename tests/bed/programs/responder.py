"""A server that tells who it is and where it was reached.

    responder.py NAME PORT...

answers each line (TCP) and each datagram (UDP) that reaches one of the ports, over IPv4 and
IPv6, with "NAME ADDRESS PORT PEER-ADDRESS PEER-PORT", ADDRESS and PORT being the packet's
destination. Its sockets are transparent, so it serves behind TPROXY as well as at home.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Any

# Of <linux/in.h> and <linux/in6.h>; the socket module does not have them in Python 3.11.
IP_TRANSPARENT, IP_RECVORIGDSTADDR = 19, 20
IPV6_TRANSPARENT, IPV6_RECVORIGDSTADDR = 75, 74


def bound_socket(family: int, kind: int, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
    sock.setblocking(False)
    sock.bind((address, port))
    return sock


def original_destination(ancillary: list[tuple[int, int, bytes]]) -> tuple[str, int]:
    """Decode the sockaddr_in or sockaddr_in6 that the kernel sends along."""
    for level, kind, data in ancillary:
        port = struct.unpack_from("!H", data, 2)[0]
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVORIGDSTADDR):
            return socket.inet_ntop(socket.AF_INET, data[4:8]), port
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR):
            return socket.inet_ntop(socket.AF_INET6, data[8:24]), port
    raise ValueError("no original destination")


class Responder:
    def __init__(self, name: str) -> None:
        self.name = name
        # Kept open, for a datagram that follows may be delivered to the socket that answered.
        self.udp: dict[tuple[str, int], socket.socket] = {}

    def answer(self, local: tuple[Any, ...], peer: tuple[Any, ...]) -> bytes:
        return f"{self.name} {local[0]} {local[1]} {peer[0]} {peer[1]}\n".encode()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        local = writer.get_extra_info("sockname")
        peer = writer.get_extra_info("peername")
        try:
            while await reader.readline():
                writer.write(self.answer(local, peer))
                await writer.drain()
        except ConnectionError:  # probes hang up by RST, which leaves no TIME_WAIT behind
            pass
        finally:
            writer.close()

    def serve_udp(self, family: int, address: str, port: int) -> socket.socket:
        sock = bound_socket(family, socket.SOCK_DGRAM, address, port)
        asyncio.get_running_loop().add_reader(sock, self.receive, sock)
        return sock

    def receive(self, sock: socket.socket) -> None:
        try:
            _, ancillary, _, peer = sock.recvmsg(2048, 256)
        except OSError:  # an ICMP error of an earlier answer
            return
        local = original_destination(ancillary)
        if local not in self.udp:
            self.udp[local] = self.serve_udp(sock.family, *local)
        try:
            self.udp[local].sendto(self.answer(local, peer), peer)
        except OSError as error:
            print(f"cannot answer {peer[0]}: {error}", flush=True)

    async def serve(self, ports: list[int]) -> None:
        for family, wildcard in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            for port in ports:
                listener = bound_socket(family, socket.SOCK_STREAM, wildcard, port)
                await asyncio.start_server(self.converse, sock=listener, backlog=4096)
                self.serve_udp(family, wildcard, port)
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(Responder(sys.argv[1]).serve([int(port) for port in sys.argv[2:]]))
