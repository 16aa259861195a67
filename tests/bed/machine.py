"""A machine booted by systemd, inside the bed and behind its network."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from .cgroup import Cgroup
from .probe import Flow, Prober, flows
from .waiting import wait_until

BOOT = Path(__file__).parent / "boot"
USER, UID = "alice", 1000
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = "/usr/bin/python3"  # the distribution's own, which every user may run
PROGRAMS = "/opt/bed"  # where the bed's programs are in the machine
BOOT_TIMEOUT = 120.0


class Machine:
    """Running from entering the context until leaving it; `console` is what it said there.

    It boots with these Debian packages installed and with these `files`, by path.
    """

    def __init__(self, *packages: Path, files: Mapping[str, str] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="machine.", dir="/run"))
        self.cgroup = Cgroup(self.directory.name)
        for path, text in (files or {}).items():
            file = self.directory / "files" / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.console = ""
        self._packages = packages

    def start(self) -> Self:
        self.cgroup.mkdir()
        console, terminal = pty.openpty()
        arguments = [self.directory, self.cgroup.directory, *self._packages]
        self._process = subprocess.Popen(
            [BOOT, *arguments], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        threading.Thread(target=self._listen, args=(console,), daemon=True).start()
        self._wait(self._pid, "process 1")
        self._wait((self.cgroup.directory / "system.slice/visitors.service").exists, "a way in")
        self._wait((Path(f"/proc/{self._pid()}/root/run/dbus/system_bus_socket")).exists, "D-Bus")
        self.run("systemctl", "is-system-running", "--wait", check=False)
        return self

    def stop(self) -> None:
        self._process.kill()  # and with it, its whole pid namespace
        self._process.wait()
        self.cgroup.remove()

    def command(self, *argv: str, user: bool = False) -> list[str]:
        """The `argv` that runs a command in it, from outside; as alice with `user`."""
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--cgroup"]
        enter = ["nsenter", f"--target={self._pid()}", *namespaces, "--", "env", "-i", PATH]
        if not user:
            return [*enter, "HOME=/root", *argv]
        runtime = f"/run/user/{UID}"
        session = [
            f"XDG_RUNTIME_DIR={runtime}",
            f"DBUS_SESSION_BUS_ADDRESS=unix:path={runtime}/bus",
        ]
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "--"]
        return [*enter, f"HOME=/home/{USER}", f"USER={USER}", *session, *become, *argv]

    def run(
        self, *argv: str, user: bool = False, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, in visitors.service."""
        home = os.open(self.directory_of("/system.slice/visitors.service"), os.O_RDONLY)
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=home)
        try:
            done = subprocess.run(
                self.command(*argv, user=user),
                input=stdin,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                preexec_fn=lambda: os.write(procs, b"0"),
            )
        finally:
            os.close(procs)
            os.close(home)
        if check:
            told = (done.stdout + done.stderr).strip()
            assert done.returncode == 0, f"{' '.join(argv)}: exit code {done.returncode}: {told}"
        return done

    def systemctl(self, *arguments: str, user: bool = False, check: bool = True) -> str:
        scope = ["--user"] if user else []
        return self.run("systemctl", *scope, *arguments, user=user, check=check).stdout.strip()

    def show(self, unit: str, *properties: str, user: bool = False) -> dict[str, str]:
        """Properties of a unit, by name."""
        wanted = [f"--property={name}" for name in properties]
        listing = self.systemctl("show", unit, *wanted, user=user)
        return dict(line.split("=", 1) for line in listing.splitlines())

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """The journal's entries, oldest first."""
        self.run("journalctl", "--sync")
        listing = self.run("journalctl", "--output=json", "--all", *matches).stdout
        return [json.loads(line) for line in listing.splitlines()]

    def write(self, path: str, text: str) -> None:
        """A file of the machine's root, its directories included."""
        self.run("mkdir", "-p", str(Path(path).parent))
        self.run("tee", path, stdin=text)

    def log_in(self) -> None:
        """Open a session of alice's, as login(1) would."""
        session = ["--unit=login", "--property=PAMName=login", f"--property=User={USER}"]
        self.run("systemd-run", "--quiet", "--collect", *session, "sleep", "infinity")
        manager = f"user@{UID}.service"
        wait_until(lambda: self.show(manager, "ActiveState")["ActiveState"] == "active", manager)

    def log_out(self) -> None:
        """Close it, and wait until the last of alice's programs has gone with it."""
        self.systemctl("stop", "login.service")
        slice_ = self.directory_of(f"/user.slice/user-{UID}.slice")
        wait_until(lambda: not slice_.exists(), "the end of alice's programs")
        # Newer systemds forget a transient unit later, and start none of its name before.
        wait_until(
            lambda: self.show("login.service", "LoadState")["LoadState"] == "not-found", "its end"
        )

    def directory_of(self, cgroup: str) -> Path:
        """Where one of its cgroups is, seen from the bed."""
        return self.cgroup.directory / cgroup.strip("/")

    def path_of(self, file: str) -> str:
        """Where a file of its root is, seen from the bed."""
        return f"/proc/{self._pid()}/root{file}"

    def among_its_processes(self, *argv: str) -> list[str]:
        """The `argv` that runs a command of the bed's; a manager wants to know who calls."""
        return ["nsenter", f"--target={self._pid()}", "--pid", "--", *argv]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _pid(self) -> int:
        """Process 1, as it is numbered in the bed; 0 while there is none."""
        procs = self.cgroup.directory / "init.scope" / "cgroup.procs"
        return int((procs.read_text().split() or ["0"])[0]) if procs.exists() else 0

    def _listen(self, console: int) -> None:
        while True:
            try:
                self.console += os.read(console, 65536).decode(errors="replace")
            except OSError:  # all others have closed it
                os.close(console)
                return

    def _wait(self, condition: Any, what: str) -> None:
        def arrived() -> Any:
            assert self._process.poll() is None, f"the boot ended before {what}:\n{self.console}"
            return condition()

        try:
            wait_until(arrived, what, BOOT_TIMEOUT)
        except AssertionError as error:
            raise AssertionError(f"{error}; the console:\n{self.console}") from error


class UnitProber(Prober):
    """A Prober that `systemd-run` starts with these options as a unit; with `user`, as alice."""

    def __init__(
        self,
        machine: Machine,
        unit: str,
        *flows: Flow,
        options: Sequence[str] = (),
        user: bool = False,
        interval: float = 0.01,
        timeout: float = 2.0,
    ) -> None:
        super().__init__(None, *flows, interval=interval, timeout=timeout)
        self.machine, self.unit, self.user = machine, unit, user
        kind = ["--scope"] if unit.endswith(".scope") else ["--pipe", "--wait"]
        where = ["--user"] if user else []
        run = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", *where, *kind, *options]
        program = [PYTHON, "-IS", f"{PROGRAMS}/prober.py", *self.argv[3:]]
        self.argv = machine.command(*run, "--", *program, user=user)

    def stop(self, *_: object) -> int:
        self.machine.systemctl("kill", self.unit, user=self.user)
        return self.wait()

    @property
    def answers(self) -> set[str]:
        """By whom it was ever answered, or what went wrong."""
        return {record.outcome.by for record in self.records}


def answers(
    machine: Machine, unit: str, *options: str, user: bool = False, timeout: float = 5.0
) -> dict[str, str]:
    """Who answers a new unit's first probes, by "tcp4", "udp4", "tcp6" and "udp6"."""
    once = UnitProber(
        machine, unit, *flows(), options=options, user=user, interval=0, timeout=timeout
    ).start()
    assert once.wait(timeout + 20) == 0, once
    return {record.flow.name: record.outcome.by for record in once.records}
