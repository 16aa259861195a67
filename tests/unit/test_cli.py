"""The command line, run as users run it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cgtproxy

GOOD = "version: 1\ncgroup-root: AUTO\nroute-table: 300\nbypass: [127.0.0.0/8, '::1']\n"
PR_CAPBSET_DROP, CAP_NET_ADMIN = 24, 12


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 2\n")
    return str(path)


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if k not in ("LOG_LEVEL", "NOTIFY_SOCKET")}
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 30, "env": environ}
    options = defaults | options
    source = str(Path(cgtproxy.__file__).parents[1])  # what PYTHONPATH says may be relative
    options["env"] |= {"PYTHONPATH": source}
    argv = [sys.executable, "-m", "cgtproxy", *arguments]
    done: subprocess.CompletedProcess[str] = subprocess.run(argv, check=False, **options)
    return done


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"cgtproxy {cgtproxy.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["check", "rules", "config", "--log-level", "/etc/cgtproxy/config.yaml"]),
        (["check", "-h"], ["permission", "--config"]),
        (["rules", "-h"], ["--config"]),
        (["config", "-h"], ["schema"]),
    ],
)
def test_help(arguments: list[str], words: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert all(word in done.stdout for word in words)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["check", "nonsense"],
        ["config"],
        ["rules", "--nonsense"],
        ["-c"],
        ["--log-level", "nonsense"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("level", ["nonsense", "10"])
def test_wrong_log_level_in_the_environment(level: str) -> None:
    done = run(env={**os.environ, "LOG_LEVEL": level})
    assert done.returncode == os.EX_USAGE
    assert done.stderr == (
        f"cgtproxy: unknown log level {level!r}; it is one of debug, info, warning, error\n"
    )


@pytest.mark.parametrize(
    "order", ["-c {} check config", "check -c {} config", "check config --config {}"]
)
def test_options_stand_before_or_after_the_command(good: str, bad: str, order: str) -> None:
    done = run(*order.format(good).split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"configuration: {good} is valid: 0 rules, 0 TPROXYs\n"
    done = run(*order.format(bad).split())
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")


@pytest.mark.parametrize("command", ["check config", "rules", ""])
def test_faults_of_the_file_stand_one_a_line_as_editors_read_them(
    bad: str, tmp_path: Path, command: str
) -> None:
    done = run("-c", "bad.yaml", *command.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (os.EX_CONFIG, "")
    assert all(line.startswith("bad.yaml:1:") for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("-c", str(tmp_path / "none.yaml"), "check")
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.startswith(f"{tmp_path}/none.yaml: cannot be read: No such file")


def drop_net_admin() -> None:
    """So that not even root has the capability after exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0) == 0


def test_missing_permission() -> None:
    drop = drop_net_admin if os.geteuid() == 0 else None
    done = run("check", "permission", preexec_fn=drop)
    assert done.returncode == os.EX_NOPERM
    assert "CAP_NET_ADMIN" in done.stderr


def test_a_wrong_configuration_comes_before_a_missing_permission(bad: str) -> None:
    drop = drop_net_admin if os.geteuid() == 0 else None
    done = run("check", "-c", bad, preexec_fn=drop)
    assert done.returncode == os.EX_CONFIG
    assert "CAP_NET_ADMIN" in done.stderr


def test_the_default_file(tmp_path: Path) -> None:
    environ = {**os.environ, "CONFIGURATION_DIRECTORY": str(tmp_path)}
    assert "built-in" in run("check", "config", env=environ).stdout
    (tmp_path / "config.yaml").write_text(GOOD)
    assert str(tmp_path / "config.yaml") in run("check", "config", env=environ).stdout


def test_schema() -> None:
    assert json.loads(run("config", "schema").stdout)["type"] == "object"


def test_a_reader_that_went_away() -> None:
    read, write = os.pipe()
    os.close(read)
    done = run("config", "schema", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_closed_stdout() -> None:
    done = run(
        "config", "schema", capture_output=False, stderr=subprocess.PIPE, preexec_fn=close_stdout
    )
    assert (done.returncode, done.stderr) == (0, "")


def close_stdout() -> None:
    os.close(1)
