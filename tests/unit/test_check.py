"""`cgtproxy check` tells what the chosen monitor cannot see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cgtproxy.commands.check import check
from cgtproxy.errors import ExitCode

TEXT = 'version: 1\ncgroup-root: AUTO\nroute-table: 300\nbypass: [127.0.0.0/8, "::1"]\n'


def told(path: Path, monitor: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    path.write_text(f"{TEXT}monitor: {monitor}\n")
    assert check(str(path), "config") == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("monitor", ["inotify", "both"])
def test_these_see_everything(
    monitor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(told(tmp_path / "f", monitor, capsys)) == 1


def test_dbus_sees_units_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, *notes = told(tmp_path / "f", "dbus", capsys)
    assert "containers" in notes[0]
    assert "follow" in notes[0]
    assert ["root only" in note for note in notes] == [False, True][: 1 + (os.geteuid() != 0)]


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ("port: 1, mark: 1, upstream: 'direct://'", 0, "serves mine"),
        ("port: 1, mark: 1", ExitCode.CONFIG, "nothing to do"),
        ("port: 1", ExitCode.CONFIG, "mark"),
    ],
)
def test_whether_the_server_has_work(
    keys: str, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text(f"{TEXT}tproxies: {{mine: {{{keys}}}}}\n")
    assert check(str(tmp_path / "f"), "proxy") == code
    assert words in "".join(capsys.readouterr())
