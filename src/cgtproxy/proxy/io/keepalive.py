"""TCP keep-alive: noticing that a peer has vanished without a word."""

from __future__ import annotations

import socket

# Seconds, seconds, probes: 4 minutes in all; the kernel's defaults take over 2 hours (tcp(7)).
OPTIONS = {socket.TCP_KEEPIDLE: 120, socket.TCP_KEEPINTVL: 30, socket.TCP_KEEPCNT: 4}


def keep_alive(sock: socket.SocketType) -> None:
    """Switch it on for a TCP socket; the sockets that a listening one accepts inherit it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in OPTIONS.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
