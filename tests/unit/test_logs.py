"""Where log lines go and what they look like, told by a program of its own with a real stderr."""

from __future__ import annotations

import logging
import os
import pty
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import bed
from cgtproxy.runtime import logs

PROGRAM = str(bed.PROGRAMS / "logger.py")
LINES = [
    "DEBUG   seen",
    "INFO    done",
    "WARNING a",
    "b",
    r"ERROR   named \udcff \x1b[2J",
]


class Journal:
    """journald's socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)

    def entries(self) -> list[dict[str, bytes]]:
        """What has come in, as JOURNAL_NATIVE_PROTOCOL tells to read it."""
        read = []
        while True:
            try:
                read.append(self._entry(self._socket.recv(1 << 20)))
            except BlockingIOError:
                return read

    @staticmethod
    def _entry(data: bytes) -> dict[str, bytes]:
        entry = {}
        while data:
            line, _, data = data.partition(b"\n")
            name, equals, value = line.partition(b"=")
            if not equals:
                (length,) = struct.unpack_from("<Q", data)
                value, data = data[8 : 8 + length], data[8 + length :]
                assert data.startswith(b"\n")
                data = data[1:]
            entry[name.decode()] = value
        return entry

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(str(tmp_path / "journal"))) as made:
        yield made


def run(*arguments: str, **options: Any) -> str:
    """The program's output to a stderr that is a pipe, if not told otherwise."""
    environ = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "JOURNAL_STREAM")}
    environ |= options.pop("env", {})
    options = {"stderr": subprocess.PIPE} | options
    argv = [sys.executable, PROGRAM, *arguments]
    done = subprocess.run(argv, env=environ, check=True, timeout=30, **options)
    told = done.stderr or b""
    return told if isinstance(told, str) else told.decode()


def on_terminal(*arguments: str, **environ: str) -> str:
    """What the program writes to a terminal."""
    terminal, slave = pty.openpty()
    run(*arguments, env=environ, stderr=slave)
    os.close(slave)
    text = b""
    try:
        while data := os.read(terminal, 1 << 16):
            text += data
    except OSError:  # EIO: everything is read and nobody has the other side open
        pass
    finally:
        os.close(terminal)
    return text.decode().replace("\r\n", "\n")


def untimed(text: str) -> list[str]:
    return re.sub(r"^(\x1b\[\d+m)?\d\d:\d\d:\d\d ", r"\1", text, flags=re.MULTILINE).splitlines()


ENTRIES = [
    {"MESSAGE": b"seen", "PRIORITY": b"7"},
    {"MESSAGE": b"done", "PRIORITY": b"6", "CGROUP": b"/a-\xff", "TARGET": b"direct", "RULE": b"3"},
    {"MESSAGE": b"a\nb", "PRIORITY": b"4", "CGROUP": b"/c\nd"},
    {"MESSAGE": b"named \xff \x1b[2J", "PRIORITY": b"3"},
]
ALWAYS = {"SYSLOG_IDENTIFIER": b"cgtproxy", "LOGGER": b"cgtproxy.part"}


def test_without_a_journal_lines_go_to_stderr() -> None:
    assert untimed(run("/nonexistent")) == LINES


def test_a_service_writes_to_the_journal_alone(journal: Journal) -> None:
    assert run(journal.path, "its own") == ""
    assert journal.entries() == [entry | ALWAYS for entry in ENTRIES]


def test_a_stderr_that_somebody_redirected_gets_the_lines_too(journal: Journal) -> None:
    assert untimed(run(journal.path)) == LINES
    assert journal.entries() == [entry | ALWAYS for entry in ENTRIES]


def test_a_journal_stream_that_is_not_ours_is_none(journal: Journal) -> None:
    assert untimed(run(journal.path, env={"JOURNAL_STREAM": "1:2"})) == LINES


@pytest.mark.parametrize("path", ["journal", "nonexistent"])
def test_a_closed_stderr_is_no_error(journal: Journal, tmp_path: Path, path: str) -> None:
    run(str(tmp_path / path), stderr=None, preexec_fn=lambda: os.close(2))
    assert len(journal.entries()) == (len(ENTRIES) if path == "journal" else 0)


def test_a_terminal_gets_colours_and_the_journal_nothing(journal: Journal) -> None:
    assert untimed(on_terminal(journal.path)) == [
        "\x1b[2mDEBUG   seen\x1b[0m",
        "INFO    done",
        "\x1b[33mWARNING a",
        "b\x1b[0m",
        "\x1b[31mERROR   named \\udcff \\x1b[2J\x1b[0m",
    ]
    assert journal.entries() == []


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_no_color(value: str, coloured: bool) -> None:
    """no-color.org: "when present and not an empty string"."""
    assert ("\x1b" in on_terminal("/nonexistent", NO_COLOR=value)) is coloured


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("debug", logging.DEBUG),
        ("INFO", logging.INFO),
        ("warning", logging.WARNING),
        ("warn", logging.WARNING),
        ("err", logging.ERROR),
        ("error", logging.ERROR),
        ("", logging.INFO),
        (None, logging.INFO),
    ],
)
def test_level(name: str | None, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    assert logs.level(name) == number


def test_the_environments_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert logs.level(None) == logging.DEBUG
    assert logs.level("error") == logging.ERROR


@pytest.mark.parametrize("name", ["critical", "notset", "10"])
def test_an_unknown_level(name: str) -> None:
    with pytest.raises(logs.UnknownLevelError, match="one of debug, info"):
        logs.level(name)
