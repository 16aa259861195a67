"""The monitors, held to one contract: whatever systemd does, the map is right soon after."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bed
from bed.machine import UID, Machine, UnitProber
from bed.service import Service
from bed.units import StartUnit, flood

DOCUMENT = Path(__file__).parents[2] / "docs" / "dbus.md"
RULES = {r"/proxied[^/]*$": "first", r"/dropped[^/]*$": "drop"}
PROXIED, DROPPED = "continue", "drop"  # the verdicts in the map
MANAGER = f"/user.slice/user-{UID}.slice/user@{UID}.service"
MAP = "cgroup-vmap"

MONITORS = ("inotify", "dbus", "both")
with_dbus = pytest.mark.parametrize("monitor", ["dbus", "both"])
only_dbus = pytest.mark.parametrize("monitor", ["dbus"])


@pytest.fixture(params=MONITORS)
def monitor(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def daemon(service: Service, monitor: str) -> Iterator[Service]:
    """The service with a monitor, as root in the way that the documentation tells."""
    settings = re.search(r"```ini\n\[Service\]\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert settings
    service.override(**dict(line.split("=", 1) for line in settings[1].splitlines()))
    service.configure(bed.config(RULES, monitor=monitor))
    service.machine.systemctl("restart", "cgtproxy")
    yield service
    service.machine.systemctl("stop", "proxied.slice", "dropped.slice")  # they would stay


@pytest.fixture
def run(machine: Machine) -> Iterator[StartUnit]:
    start = StartUnit(machine)
    yield start
    start.stop_all()


def elements(machine: Machine) -> dict[str, str]:
    """What is in the map: paths as the machine has them, and verdicts; ids where no path is."""
    prefix = f"{machine.cgroup.path.strip('/')}/"
    listed = bed.map_elements(MAP)
    return {"/" + path.removeprefix(prefix): next(iter(to)) for path, to in listed.items()}


def wait_for(machine: Machine, wanted: dict[str, str]) -> None:
    bed.wait_until(lambda: elements(machine) == wanted, f"{wanted} in the map")


def test_what_lives_when_it_starts_is_known_at_once(
    machine: Machine, daemon: Service, run: StartUnit, alice: None
) -> None:
    run("proxied.service")
    run("dropped.service", user=True)
    wanted = {
        "/system.slice/proxied.service": PROXIED,
        f"{MANAGER}/app.slice/dropped.service": DROPPED,
    }
    wait_for(machine, wanted)
    machine.systemctl("restart", "cgtproxy")
    assert elements(machine) == wanted


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
@pytest.mark.parametrize("kind", ["service", "scope"])
def test_units_come_and_go(
    machine: Machine, run: StartUnit, alice: None, user: bool, kind: str
) -> None:
    slice_ = f"{MANAGER}/app.slice" if user else "/system.slice"
    for _ in range(2):
        run(f"proxied.{kind}", "--slice=app.slice" if user else "--slice=system.slice", user=user)
        wait_for(machine, {f"{slice_}/proxied.{kind}": PROXIED})
        machine.systemctl("stop", f"proxied.{kind}", user=user)
        wait_for(machine, {})


@pytest.mark.usefixtures("daemon")
def test_traffic_of_a_unit_and_of_its_slice(machine: Machine) -> None:
    cases = [
        ("proxied.service", (), "/system.slice/proxied.service"),
        (
            "any.service",
            ("--slice=proxied-a.slice",),
            "/proxied.slice",
        ),
    ]
    for unit, options, path in cases:
        with UnitProber(machine, unit, *bed.flows(), options=options) as prober:
            bed.wait_until(lambda path=path: path in elements(machine), path)
            assert {record.outcome.by for record in prober.wait_rounds(3)} == {"tproxy"}


@pytest.mark.usefixtures("daemon")
def test_slices_between_a_decision_and_a_unit(machine: Machine, run: StartUnit) -> None:
    """They are no app's, but what is decided for them holds below."""
    run("a.service", "--slice=dropped-a-b.slice")
    run("proxied.service", "--slice=dropped-a-b.slice")
    above = "/dropped.slice/dropped-a.slice/dropped-a-b.slice"
    wait_for(machine, {"/dropped.slice": DROPPED, f"{above}/proxied.service": PROXIED})


@pytest.mark.usefixtures("daemon")
def test_a_restart_has_the_same_path_and_another_cgroup(machine: Machine, run: StartUnit) -> None:
    run.from_file("proxied.service")
    wanted = {"/system.slice/proxied.service": PROXIED}
    wait_for(machine, wanted)
    ids = {machine.directory_of("/system.slice/proxied.service").stat().st_ino}
    for _ in range(5):
        machine.systemctl("restart", "proxied.service")
        # An element whose cgroup is gone has no path any more.
        wait_for(machine, wanted)
        ids.add(machine.directory_of("/system.slice/proxied.service").stat().st_ino)
    assert len(ids) == 6


@pytest.mark.usefixtures("daemon")
def test_a_unit_that_fails(machine: Machine, run: StartUnit) -> None:
    fifo = "/run/proxied.fifo"
    machine.run("mkfifo", fifo)
    run("proxied.service", command=f"read line <{fifo}; exit 1")
    wait_for(machine, {"/system.slice/proxied.service": PROXIED})
    machine.run("sh", "-c", f"echo >{fifo}; rm {fifo}")
    wait_for(machine, {})


@pytest.mark.usefixtures("daemon")
def test_a_unit_that_restarts_by_itself(machine: Machine, run: StartUnit) -> None:
    run("proxied.service", "--property=Restart=always", "--property=RestartSec=0")
    wait_for(machine, {"/system.slice/proxied.service": PROXIED})
    for _ in range(3):
        machine.systemctl("kill", "--signal=KILL", "proxied.service")
        wait_for(machine, {"/system.slice/proxied.service": PROXIED})


@pytest.mark.usefixtures("daemon", "alice")
@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
@pytest.mark.parametrize("verb", ["daemon-reload", "daemon-reexec"])
def test_a_manager_that_begins_anew(
    machine: Machine, run: StartUnit, verb: str, user: bool
) -> None:
    slice_ = f"{MANAGER}/app.slice" if user else "/system.slice"
    run("proxied.service", user=user)
    wanted = {f"{slice_}/proxied.service": PROXIED}
    wait_for(machine, wanted)
    for number in range(3):
        machine.systemctl(verb, user=user)
        run(f"dropped-{number}.service", user=user)
        wanted[f"{slice_}/dropped-{number}.service"] = DROPPED
        wait_for(machine, wanted)
    machine.systemctl("stop", "proxied.service", user=user)
    del wanted[f"{slice_}/proxied.service"]
    wait_for(machine, wanted)


@pytest.mark.usefixtures("daemon")
def test_the_bus_restarts(machine: Machine, run: StartUnit) -> None:
    run("proxied.service")
    wanted = {"/system.slice/proxied.service": PROXIED}
    wait_for(machine, wanted)
    machine.systemctl("restart", "dbus.service")
    assert elements(machine) == wanted
    run("dropped.service")
    wait_for(machine, wanted | {"/system.slice/dropped.service": DROPPED})
    machine.systemctl("stop", "proxied.service", "dropped.service")
    wait_for(machine, {})


@pytest.mark.usefixtures("daemon")
def test_a_user_logs_in_and_out(machine: Machine, run: StartUnit) -> None:
    for _ in range(2):
        machine.log_in()
        run("proxied.service", user=True)
        wait_for(machine, {f"{MANAGER}/app.slice/proxied.service": PROXIED})
        machine.log_out()
        wait_for(machine, {})


@with_dbus
def test_there_is_no_bus_when_it_starts(
    machine: Machine, daemon: Service, monitor: str, run: StartUnit
) -> None:
    """As early in the boot; systemctl itself does without."""
    machine.systemctl("stop", "dbus.socket", "dbus.service")
    try:
        machine.systemctl("restart", "cgtproxy")
        message = daemon.wait_message(r"nothing is heard from systemd \(.*\)")
        if monitor == "dbus":
            assert f"degraded: {message}" in daemon.show("StatusText")
    finally:
        machine.systemctl("start", "dbus.socket", "dbus.service")
    run("proxied.service")
    wait_for(machine, {"/system.slice/proxied.service": PROXIED})
    daemon.wait_message("^(recovered from: nothing is heard|systemd is heard again)")
    bed.wait_until(lambda: "degraded" not in daemon.show("StatusText"), "a good status")


@with_dbus
def test_the_log_has_units_and_their_states(
    machine: Machine, daemon: Service, monitor: str, run: StartUnit
) -> None:
    daemon.override(Environment="LOG_LEVEL=debug")
    machine.systemctl("restart", "cgtproxy")
    run("proxied-a.service", "--property=Delegate=yes")
    line = daemon.wait_message(r"^/system\.slice/proxied-a\.service: unit .*$")
    assert line == "/system.slice/proxied-a.service: unit proxied-a.service is active"
    daemon.reconfigure(bed.config({"/proxied-a": "drop"}, monitor=monitor))
    matches = ("TARGET=drop", "CGROUP=/system.slice/proxied-a.service", "PRIORITY=6")
    (entry,) = daemon.log(*matches)
    assert (entry["UNIT"], entry["UNIT_STATE"]) == ("proxied-a.service", "active")


@only_dbus
@pytest.mark.usefixtures("daemon")
def test_cgroups_below_a_unit_follow_it(machine: Machine, run: StartUnit) -> None:
    run("dropped.service", "--property=Delegate=yes")
    wait_for(machine, {"/system.slice/dropped.service": DROPPED})
    directory = machine.directory_of("/system.slice/dropped.service") / "proxied"
    directory.mkdir()
    run("proxied.service")  # whose element shows that what came before was not seen
    both = {"/system.slice/dropped.service": DROPPED, "/system.slice/proxied.service": PROXIED}
    wait_for(machine, both)


@with_dbus
def test_without_root_the_users_units_are_not_heard(
    machine: Machine, service: Service, monitor: str, run: StartUnit, alice: None
) -> None:
    """As the unit is shipped: inotify sees their cgroups all the same."""
    service.reconfigure(bed.config(RULES, monitor=monitor))
    message = service.wait_message(f"nothing is heard from the manager of user {UID}.*$")
    assert "talks to root only" in message
    run("dropped.service")
    run("proxied.service", user=True)
    wanted = {"/system.slice/dropped.service": DROPPED}
    if monitor == "both":
        wanted[f"{MANAGER}/app.slice/proxied.service"] = PROXIED
        assert "degraded" not in service.show("StatusText")
    else:
        assert "degraded: nothing is heard" in service.show("StatusText")
    wait_for(machine, wanted)


@only_dbus
def test_a_flood_of_short_units(machine: Machine, daemon: Service, run: StartUnit) -> None:
    def resident() -> int:
        return int(daemon.process_status()["VmRSS"].split()[0])

    run("proxied-before.service")
    flood(machine, 5_000)
    before = resident()
    run("proxied-amid.service")
    flood(machine, 5_001)
    lasting = ["proxied-before.service", "proxied-amid.service"]
    wait_for(machine, {f"/system.slice/{unit}": PROXIED for unit in lasting})
    assert resident() - before < 600  # kB; what is kept of 5,000 units needs more than 1,000
