"""`cgtproxy install-service` and `uninstall-service`, for a program that no package brought."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cgtproxy.commands.clear import remove
from cgtproxy.config.schema import json_schema
from cgtproxy.errors import AlreadyRunningError, CgtproxyError, PermissionMissingError
from cgtproxy.runtime import lock

PACKAGE = Path(__file__).parents[1]
NAMES = ("cgtproxy.service", "cgtproxy-proxy.service")
UNITS = tuple(Path("/etc/systemd/system") / name for name in NAMES)
PACKAGED = tuple(Path(f"{top}/lib/systemd/system") / name for top in ("/usr", "") for name in NAMES)
SYSUSERS = Path("/etc/sysusers.d/cgtproxy.conf")
CONFIG = Path("/etc/cgtproxy/config.yaml")
STATE = Path("/var/lib/cgtproxy")
SCHEMA = Path("/etc/cgtproxy/config.schema.json")
MARK = "# Written by `cgtproxy install-service`; `cgtproxy uninstall-service` removes it.\n"
PROGRAM = "=/usr/bin/cgtproxy "  # in the units
USER = "cgtproxy"
BOOTED = Path("/run/systemd/system")  # sd_booted(3)

SYSTEM_WIDE = (
    "install it where every user may run it, such as `python3 -m venv /opt/cgtproxy` or"
    " `pipx install --global cgtproxy`"
)


def install() -> int:
    """Write the files, make the user; start nothing. Undone where it fails half-way."""
    _check_root()
    if not BOOTED.is_dir():
        raise CgtproxyError(
            "systemd does not run here", "have your init system run `cgtproxy` in the foreground"
        )
    for path in (*UNITS, SYSUSERS, *PACKAGED):
        if path.exists() and not _is_ours(path):
            raise CgtproxyError(f"{path} exists, and cgtproxy did not write it", "remove it first")
    command = [sys.executable, "-I", "-m", "cgtproxy"]
    _check_command(command)
    known = [path for path in _files(command) if path.exists()]
    try:
        for path, text in _files(command).items():
            if path == CONFIG and path.exists():
                print(f"kept {path}: it existed already")
                continue
            _write(path, text)
            print(f"wrote {path}")
        _run("systemd-sysusers", str(SYSUSERS))
        print(f"created the user {USER}, if it did not exist")
        _run("systemctl", "daemon-reload")
    except (OSError, CgtproxyError) as error:
        for path in _files(command):
            if path not in known:
                path.unlink(missing_ok=True)
        raise CgtproxyError(f"nothing installed: {error}") from error
    print(f"\nNow write your rules into {CONFIG}, then: systemctl enable --now cgtproxy")
    return 0


def uninstall() -> int:
    """Stop it and remove all that install() wrote, but a configuration that was edited."""
    _check_root()
    if not any(map(_is_ours, UNITS)):
        print("there is nothing that `cgtproxy install-service` wrote")
        return 0
    if BOOTED.is_dir():
        units = [unit.name for unit in UNITS if _is_ours(unit)]
        _run("systemctl", "disable", "--quiet", "--now", *units)
    with contextlib.suppress(AlreadyRunningError):  # somebody runs one outside of systemd
        held = lock.take()
        remove()
        if held:
            held.close()
    for path, text in _files([]).items():
        if not path.exists():
            continue
        if path == CONFIG and path.read_text() != text:
            print(f"kept {path}: you have edited it")
            continue
        path.unlink()
        print(f"removed {path}")
    if STATE.is_symlink():  # systemd.exec(5), DynamicUser=
        shutil.rmtree(STATE.resolve(), ignore_errors=True)
        STATE.unlink()
        print(f"removed {STATE}")
    for directory in (CONFIG.parent, SYSUSERS.parent):
        with contextlib.suppress(OSError):  # there is more in it, which is not ours
            directory.rmdir()
    if BOOTED.is_dir():
        _run("systemctl", "daemon-reload")
    _run("userdel", USER)
    print(f"removed the user {USER}")
    return 0


def _files(command: list[str]) -> dict[Path, str]:
    """What to write, in this order; `command` is what the unit starts."""
    start = " ".join(map(_quoted, command))
    units = {path: (PACKAGE / "systemd" / path.name).read_text() for path in UNITS}
    return {
        SYSUSERS: MARK + (PACKAGE / "systemd/cgtproxy.sysusers").read_text(),
        **{path: MARK + unit.replace(PROGRAM, f"={start} ") for path, unit in units.items()},
        SCHEMA: json.dumps(json_schema(), indent=2) + "\n",
        CONFIG: (PACKAGE / "config/example.yaml").read_text(),
    }


def _quoted(word: str) -> str:
    """A word of a command line as systemd.service(5) reads it."""
    word = word.replace("%", "%%").replace("$", "$$")
    return word if re.fullmatch(r"[\w@%$+=:,./-]+", word) else json.dumps(word, ensure_ascii=False)


def _check_root() -> None:
    if os.geteuid() != 0:
        raise PermissionMissingError("this writes to /etc, which needs root", "try it with sudo")


def _check_command(command: list[str]) -> None:
    """Whether another user, to whom home directories are hidden, can run it: the unit's can."""
    sandbox = ("--property=DynamicUser=yes", "--property=ProtectHome=yes")
    try:
        _run(
            "systemd-run",
            "--quiet",
            "--wait",
            "--pipe",
            "--collect",
            *sandbox,
            *command,
            "--version",
        )
    except CgtproxyError as error:
        raise CgtproxyError(f"a service cannot run {command[0]}: {error}", SYSTEM_WIDE) from error


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text().startswith(MARK)


def _write(path: Path, text: str) -> None:
    """All of it or nothing, for everybody to read."""
    if not path.parent.exists():
        path.parent.mkdir()
        path.parent.chmod(0o755)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CgtproxyError(f"command not found: {command[0]}") from error
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise CgtproxyError(f"{command[0]}: {told[-1]}")
