"""The monitors, held to one contract: whatever systemd does, the map is right soon after."""

from __future__ import annotations

from functools import partial

import pytest

import bed
from bed.machine import UID, Machine, UnitProber
from bed.service import Service
from bed.units import DROPPED, PROXIED, StartUnit, elements, wait_for

MANAGER = f"/user.slice/user-{UID}.slice/user@{UID}.service"


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


def has_element(machine: Machine, path: str) -> bool:
    return path in elements(machine)


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
            bed.wait_until(partial(has_element, machine, path), path)
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
