"""Units that a machine's managers start for the tests."""

from __future__ import annotations

import sys
from pathlib import Path

from .kernel import map_elements, run
from .machine import Machine
from .waiting import wait_until

UNITS = {r"/proxied[^/]*$": "first", r"/dropped[^/]*$": "drop"}  # rules
MAP = "cgroup-vmap"
PROXIED, DROPPED = "continue", "return"  # the verdicts in it
FLOOD = Path(__file__).parent / "programs" / "flood.py"
_DIRECTORY = "/run/systemd/system"
_RESTARTABLE = "[Unit]\nStartLimitIntervalSec=0\n[Service]\n"


class StartUnit:
    """Starts units that last, until stop_all()."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._started: dict[tuple[str, bool], None] = {}

    def __call__(
        self, unit: str, *options: str, user: bool = False, command: str = "exec sleep 1h"
    ) -> None:
        self._started[unit, user] = None
        where = ["--user"] if user else []
        begin = ["systemd-run", "--quiet", *where, "--collect", f"--unit={unit}", *options]
        if unit.endswith(".scope"):
            # systemd-run itself becomes the program in it.
            command = f"{' '.join(begin)} --scope sleep 1h <&- >/dev/null 2>&1 &"
            self._machine.run("sh", "-c", command, user=user)
        else:
            self._machine.run(*begin, "sh", "-c", command, user=user)

    def from_file(self, unit: str) -> None:
        """A service that can be restarted."""
        self._started[unit, False] = None
        self._machine.write(f"{_DIRECTORY}/{unit}", f"{_RESTARTABLE}ExecStart=sleep 1h\n")
        self._machine.systemctl("daemon-reload")
        self._machine.systemctl("start", unit)

    def stop_all(self) -> None:
        for unit, user in self._started:
            self._machine.systemctl("stop", unit, user=user, check=False)
            self._machine.run("rm", "-f", f"{_DIRECTORY}/{unit}")
        self._machine.systemctl("reset-failed")


def flood(machine: Machine, count: int) -> None:
    """Start so many scopes that end at once; returns when the last has been started."""
    socket = machine.path_of("/run/systemd/private")
    run(*machine.among_its_processes(sys.executable, str(FLOOD), socket, str(count)))


def elements(machine: Machine) -> dict[str, str]:
    """What is in the map: paths as the machine has them, and verdicts; ids where no path is."""
    prefix = f"{machine.cgroup.path.strip('/')}/"
    listed = map_elements(MAP)
    return {"/" + path.removeprefix(prefix): next(iter(to)) for path, to in listed.items()}


def wait_for(machine: Machine, wanted: dict[str, str]) -> None:
    wait_until(lambda: elements(machine) == wanted, f"{wanted} in the map")
