"""The units as the package ships them, in a booted machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .machine import Machine
from .waiting import wait_until

PROJECT = Path(__file__).parents[2]
CONFIG_FILE = "/etc/cgtproxy/config.yaml"
RULES = {"/proxied": "first", "/dropped": "drop"}  # what most tests run it with


def documented(name: str) -> dict[str, str]:
    """The settings for [Service] that a document marks as used by the tests."""
    document = (PROJECT / "docs" / name).read_text()
    marked = r"<!-- the tests use this -->\n```ini\n\[Service\]\n(.*?)```"
    settings = re.search(marked, document, re.DOTALL)
    assert settings
    return dict(line.split("=", 1) for line in settings[1].splitlines())


class Service:
    """One of them in the machine: the manager, or the built-in server."""

    def __init__(self, machine: Machine, unit: str = "cgtproxy") -> None:
        self.machine = machine
        self.unit = unit
        self.drop_ins = f"/run/systemd/system/{unit}.service.d"

    def start(self) -> None:
        done = self.machine.run("systemctl", "start", self.unit, check=False)
        assert done.returncode == 0, self.machine.run("journalctl", f"--unit={self.unit}").stdout

    def configure(self, config: str) -> None:
        self.machine.write(CONFIG_FILE, config)

    def reconfigure(self, config: str) -> None:
        """Write the configuration and reload; in force when this returns."""
        known = len(re.findall("(?m)^reloaded: ", self.messages()))
        self.configure(config)
        self.machine.systemctl("reload", self.unit)
        wait_until(
            lambda: len(re.findall("(?m)^reloaded: ", self.messages())) > known, "the reload"
        )

    def override(self, **settings: object) -> None:
        """Settings for [Service]; they count from the next start on."""
        lines = [f"{key}={value}\n" for key, value in settings.items()]
        self.machine.write(f"{self.drop_ins}/test.conf", "[Service]\n" + "".join(lines))
        self.machine.systemctl("daemon-reload")

    def show(self, name: str) -> str:
        return self.machine.show(self.unit, name)[name]

    @property
    def pid(self) -> str:
        return self.show("MainPID")

    def wait_restarted(self, old_pid: str) -> None:
        def restarted() -> bool:
            return self.show("SubState") == "running" and self.pid not in (old_pid, "0")

        wait_until(restarted, "a new main process, ready")

    def log(self, *matches: str) -> list[dict[str, Any]]:
        """What this run of it logged."""
        run = f"_SYSTEMD_INVOCATION_ID={self.show('InvocationID')}"
        return self.machine.journal(run, *matches)

    def messages(self) -> str:
        """The lines of its log."""
        return "\n".join(entry["MESSAGE"] for entry in self.log())

    def wait_message(self, pattern: str) -> str:
        """The first match of the regex in the log."""
        found = wait_until(
            lambda: re.search(pattern, self.messages(), re.MULTILINE), f"message {pattern!r}"
        )
        assert found
        return found[0]

    def process_status(self) -> dict[str, str]:
        """/proc/PID/status of the main process, proc(5)."""
        status = self.machine.run("cat", f"/proc/{self.pid}/status").stdout
        return {
            key: value.strip() for key, _, value in (x.partition(":") for x in status.splitlines())
        }
