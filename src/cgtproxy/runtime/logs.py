"""Logs: lines for people, fields for journald."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any

from cgtproxy.errors import CgtproxyError, ExitCode

LEVELS = ("debug", "info", "warning", "error")
JOURNAL = "/run/systemd/journal/socket"
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
COLOURS = {logging.DEBUG: "\x1b[2m", logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}

# Anybody may name a cgroup, and a terminal obeys control characters.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def fields(**values: object) -> dict[str, Any]:
    """What to pass as a log call's `extra`, for journald: CGROUP="/a", TARGET="direct", ..."""
    return {"fields": values}


class UnknownLevelError(CgtproxyError):
    """The name of the log level is none of Python's."""

    exit_code = ExitCode.USAGE


def level(name: str | None) -> int:
    """The number of a level's name, or of that in $LOG_LEVEL; `warn` and upper case are understood.

    Raises UnknownLevelError.
    """
    given = name or os.environ.get("LOG_LEVEL") or "info"
    known = {"warn": "warning", "err": "error"}.get(given.lower(), given.lower())
    if known not in LEVELS:
        raise UnknownLevelError(f"unknown log level {given!r}", f"it is one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[known.upper()]


def set_up(threshold: int, environ: Mapping[str, str] = os.environ) -> None:
    """To the terminal if there is one, else to the journal, else to plain stderr.

    A stderr that somebody redirected (it is not the journal's own stream) gets the lines too.
    """
    # What no line of ours shows need not be looked up ("Optimization" in logging's documentation).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger("cgtproxy")
    root.setLevel(threshold)
    root.propagate = False
    root.handlers.clear()
    terminal = sys.stderr is not None and sys.stderr.isatty()  # None: it was closed
    journal = None if terminal else _journal()
    if journal is not None:
        root.addHandler(journal)
    if journal is None or not _is_journal_stream(environ):
        lines = logging.StreamHandler()
        lines.setFormatter(_Lines(colour=terminal and not environ.get("NO_COLOR")))
        root.addHandler(lines)


class _Lines(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        line = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().format(record))
        start = COLOURS.get(record.levelno) if self._colour else None
        return f"{start}{line}\x1b[0m" if start else line


class _Journal(logging.Handler):
    """journald's native protocol (systemd's JOURNAL_NATIVE_PROTOCOL)."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._socket = sock

    def emit(self, record: logging.LogRecord) -> None:
        values = {
            "MESSAGE": self.format(record),
            "PRIORITY": PRIORITIES.get(record.levelno, 5),
            "SYSLOG_IDENTIFIER": "cgtproxy",
            "LOGGER": record.name,
            **getattr(record, "fields", {}),
        }
        data = b"".join(_field(name, str(value)) for name, value in values.items())
        # A journal that is down, or too slow, must not stop the work.
        with contextlib.suppress(OSError):
            self._socket.send(data, socket.MSG_DONTWAIT)


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def _journal() -> _Journal | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.connect(JOURNAL)
    except OSError:
        sock.close()
        return None
    return _Journal(sock)


def _is_journal_stream(environ: Mapping[str, str]) -> bool:
    """Whether stderr is the journal's (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        status = os.fstat(2)
    except OSError:
        return True  # no stderr: nothing to write to
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
