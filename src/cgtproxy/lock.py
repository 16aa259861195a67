"""One daemon in a network namespace, whose table and rules it is that would be fought over."""

from __future__ import annotations

import errno
import os
import socket
import struct

from cgtproxy.errors import AlreadyRunningError

# Abstract socket names belong to a network namespace and go with their process (unix(7)).
NAME = "\0cgtproxy"
_CREDENTIALS = struct.Struct("=iII")


def take() -> socket.socket | None:
    """Hold the returned socket for life. Raises AlreadyRunningError, naming the other's pid.

    None where a stranger's process squats on the name: only root's or our own user's counts,
    else anybody could keep the daemon from starting.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(NAME)
        sock.listen()
    except OSError as error:
        sock.close()
        if error.errno != errno.EADDRINUSE:
            raise
        pid, uid = _holder()
        if uid in (0, os.geteuid()):
            raise AlreadyRunningError(
                f"cgtproxy is running already, pid {pid}",
                "stop it first, or send it SIGHUP to reload",
            ) from error
        return None
    return sock


def _holder() -> tuple[int, int]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(NAME)
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return pid, uid
