"""What is different where systemd is asked over D-Bus."""

from __future__ import annotations

import pytest

import bed
from bed.machine import UID, Machine
from bed.service import Service
from bed.units import DROPPED, PROXIED, UNITS, StartUnit, flood, wait_for

MANAGER = f"/user.slice/user-{UID}.slice/user@{UID}.service"
with_dbus = pytest.mark.parametrize("monitor", ["dbus", "both"])
only_dbus = pytest.mark.parametrize("monitor", ["dbus"])


@with_dbus
def test_there_is_no_bus_when_it_starts(
    machine: Machine, daemon: Service, monitor: str, run: StartUnit
) -> None:
    """As early in the boot; systemctl itself does without."""
    machine.systemctl("stop", "dbus.socket", "dbus.service")
    try:
        machine.systemctl("restart", "cgtproxy")
        message = daemon.wait_message(r"no answer from systemd \(.*\)")
        if monitor == "dbus":
            assert f"degraded: {message}" in daemon.show("StatusText")
    finally:
        machine.systemctl("start", "dbus.socket", "dbus.service")
    run("proxied.service")
    wait_for(machine, {"/system.slice/proxied.service": PROXIED})
    daemon.wait_message("^(recovered from: no answer|systemd answers again)")
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
    service.reconfigure(bed.config(UNITS, monitor=monitor))
    message = service.wait_message(f"no answer from the manager of user {UID}.*$")
    assert "talks to root only" in message
    run("dropped.service")
    run("proxied.service", user=True)
    wanted = {"/system.slice/dropped.service": DROPPED}
    if monitor == "both":
        wanted[f"{MANAGER}/app.slice/proxied.service"] = PROXIED
        assert "degraded" not in service.show("StatusText")
    else:
        assert "degraded: no answer" in service.show("StatusText")
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
