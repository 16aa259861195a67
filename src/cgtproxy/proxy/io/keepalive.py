"""Noticing that somebody has vanished without a word."""

from __future__ import annotations

import socket

# Within 4 minutes; by the kernel's defaults it would take more than 2 hours (tcp(7)).
OPTIONS = {socket.TCP_KEEPIDLE: 120, socket.TCP_KEEPINTVL: 30, socket.TCP_KEEPCNT: 4}


def keep_alive(sock: socket.SocketType) -> None:
    """For a TCP socket, and for those that it accepts."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in OPTIONS.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
