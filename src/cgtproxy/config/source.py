"""Where the configuration comes from: a named file, the default one, or the built-in."""

from __future__ import annotations

import os
from collections.abc import Mapping

from cgtproxy.config.compose import MAX_CHARACTERS
from cgtproxy.config.faults import ConfigError, Fault
from cgtproxy.config.parser import Parsed, parse

_DEFAULT_DIRECTORY = "/etc/cgtproxy"

BUILTIN = """\
version: 1
cgroup-root: AUTO
route-table: 300
bypass: [127.0.0.0/8, "::1/128"]
tproxies: {}
rules: []
"""


def find(explicit: str | None, environ: Mapping[str, str]) -> str | None:
    """The file to read. None: there is none in the default place, so `BUILTIN` holds."""
    if explicit is not None:
        return explicit
    # systemd.exec(5): several directories are separated by colons.
    directory = environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0] or _DEFAULT_DIRECTORY
    path = os.path.join(directory, "config.yaml")
    try:
        os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError:
        return path  # it may well be there: load() will say why it cannot be read
    return path


def load(path: str) -> Parsed:
    """Read and parse a file. Raises ConfigError."""
    from pathlib import Path

    try:
        with Path(path).open("rb") as file:
            data = file.read(4 * MAX_CHARACTERS + 1)  # UTF-8 has up to 4 bytes a character
    except OSError as error:
        raise ConfigError((_unreadable(path, error),)) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8"
        fault = Fault(path, line, column, "", problem, "save the file in UTF-8")
        raise ConfigError((fault,)) from error
    return parse(text, path)


def _unreadable(path: str, error: OSError) -> Fault:
    hints = {
        FileNotFoundError: "create it, or name another with -c FILE",
        IsADirectoryError: "name a file in it with -c FILE",
        PermissionError: "run as a user who may read it, or change its permissions",
    }
    hint = hints.get(type(error), "name another file with -c FILE")
    return Fault(path, 0, 0, "", f"cannot be read: {error.strerror}", hint)
