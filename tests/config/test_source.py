"""Where the configuration is found and how its file is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cgtproxy.config.faults import ConfigError
from cgtproxy.config.source import _DEFAULT_DIRECTORY, BUILTIN, find, load


def fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert len(caught.value.faults) == 1
    return str(caught.value).removeprefix(str(path))


def test_the_file_that_is_named_comes_first(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    environ = {"CONFIGURATION_DIRECTORY": str(tmp_path)}
    assert find("no such file", environ) == "no such file"


def test_the_first_configuration_directory(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    environ = {"CONFIGURATION_DIRECTORY": f"{tmp_path}:/etc"}
    assert find(None, environ) is None
    path.touch()
    assert find(None, environ) == str(path)


@pytest.mark.parametrize("environ", [{}, {"CONFIGURATION_DIRECTORY": ""}])
def test_the_default_path(environ: dict[str, str]) -> None:
    default = f"{_DEFAULT_DIRECTORY}/config.yaml"
    assert find(None, environ) == (default if os.path.lexists(default) else None)
    assert default == "/etc/cgtproxy/config.yaml"


def test_a_default_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.symlink_to(tmp_path / "gone")
    assert find(None, {"CONFIGURATION_DIRECTORY": str(tmp_path)}) == str(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    found = find(None, {"CONFIGURATION_DIRECTORY": str(loop)})
    assert found == str(loop / "config.yaml")


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(BUILTIN)
    assert load(str(path)).config.route_table == 300


def test_faults_carry_the_path(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(BUILTIN + "x: 1\n")
    assert fault(path).startswith(":7:1: x: unknown key")


def test_a_missing_file(tmp_path: Path) -> None:
    hint = "create it, or name another with -c FILE"
    assert fault(tmp_path / "no") == f": cannot be read: No such file or directory; {hint}"


def test_a_directory(tmp_path: Path) -> None:
    hint = "name a file in it with -c FILE"
    assert fault(tmp_path) == f": cannot be read: Is a directory; {hint}"


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(BUILTIN)
    path.chmod(0)
    tmp_path.chmod(0o711)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)  # root may read everything
    try:
        said = fault(path)
    finally:
        os.seteuid(me)
    hint = "run as a user who may read it, or change its permissions"
    assert said == f": cannot be read: Permission denied; {hint}"


@pytest.mark.parametrize(
    ("data", "where"),
    [(b"\xff", "1:1: byte 0xff"), ("version: 1\n# ü".encode() + b"\xe9x", "2:4: byte 0xe9")],
)
def test_not_utf8(tmp_path: Path, data: bytes, where: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    assert fault(path) == f":{where} is not UTF-8; save the file in UTF-8"


def test_an_endless_file() -> None:
    with pytest.raises(ConfigError, match="too long"):
        load("/dev/zero")
