"""Telling the service manager how we are: sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Does nothing where no service manager asked for it."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.watchdog_seconds = self._watchdog(environ)

    def ready(self, status: str) -> None:
        """The start, or a reload, has succeeded; `status` is shown by systemctl."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; ready() ends it."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def status(self, status: str) -> None:
        """One line for systemctl to show. It is lost where the manager does not read."""
        self._send(f"STATUS={status}", socket.MSG_DONTWAIT)

    def watchdog(self) -> None:
        """A sign of life (WatchdogSec=). It is lost where the manager does not read."""
        self._send("WATCHDOG=1", socket.MSG_DONTWAIT)

    @staticmethod
    def _watchdog(environ: Mapping[str, str]) -> float | None:
        """How long the manager waits for a sign of life, None if it does not."""
        if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        microseconds = environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None

    def _send(self, text: str, flags: int = 0) -> None:
        """With MSG_DONTWAIT for what comes again: a manager that does not read must not stop us."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a manager that is gone must not end us
                # A status may name a cgroup whose name is not UTF-8, which sd_notify(3) asks for.
                data = text.encode("utf-8", "backslashreplace")
                self._socket.sendto(data, flags, self._address)
