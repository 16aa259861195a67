"""One daemon in a network namespace, whose table and rules it is that would be fought over."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct

from cgtproxy.errors import AlreadyRunningError

# Abstract socket names belong to a network namespace and go with their process (unix(7)).
NAME = "\0cgtproxy"
_CREDENTIALS = struct.Struct("=iII")


def take() -> socket.socket | None:
    """Hold the returned socket for life, and turn_away() whoever comes.

    Raises AlreadyRunningError, naming the other's pid.
    None where a stranger's process squats on the name: only root's or our own user's counts,
    else anybody could keep the daemon from starting.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(NAME)
        sock.listen()
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno != errno.EADDRINUSE:
            raise
        holder = _holder()
        if holder is None or holder[1] not in (0, os.geteuid()):
            return None
        raise AlreadyRunningError(
            f"cgtproxy is running already, pid {holder[0]}",
            "stop it first, or send it SIGHUP to reload",
        ) from error
    return sock


def turn_away(held: socket.socket) -> None:
    """Let one go that asked who we are; a full queue would leave the next without an answer."""
    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
        held.accept()[0].close()


def _holder() -> tuple[int, int] | None:
    """Pid and uid of who holds the name; None where it does not listen, or lets its queue fill."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)  # a squatter must not hold us up
        try:
            sock.connect(NAME)
        except (ConnectionRefusedError, BlockingIOError):
            return None
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return pid, uid
