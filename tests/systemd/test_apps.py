"""Apps as systemd and desktops start them, system-wide and for a user who is logged in."""

from __future__ import annotations

import re

import pytest

import bed
from bed.machine import PROGRAMS, PYTHON, UID, Machine, UnitProber, answers
from bed.service import Service

TELEGRAM = "app-gnome-org.telegram.desktop-1234.scope"
FIREFOX = "app-flatpak-org.mozilla.firefox@1.service"
PROBER = f"{PYTHON} -IS {PROGRAMS}/prober.py"
TCP4 = f"tcp,{bed.REMOTE4},80"

pytestmark = pytest.mark.usefixtures("service")


def test_system_services_and_scopes(machine: Machine) -> None:
    for kind in ("service", "scope"):
        assert answers(machine, f"proxied.{kind}") == bed.everywhere("tproxy")
        assert answers(machine, f"dropped.{kind}", timeout=1) == bed.DROPPED
        assert answers(machine, f"other.{kind}") == bed.everywhere("origin")


def test_a_slice_decides_for_all_in_it(machine: Machine) -> None:
    assert answers(machine, "a.service", "--slice=proxied-a.slice") == bed.everywhere("tproxy")
    assert answers(machine, "a.scope", "--slice=dropped-a-b.slice", timeout=1) == bed.DROPPED
    machine.systemctl("stop", "proxied.slice", "dropped.slice")


@pytest.mark.usefixtures("alice")
def test_user_apps_by_the_names_that_desktops_give(machine: Machine, service: Service) -> None:
    manager = rf"^/user\.slice/user-{UID}\.slice/user@{UID}\.service/app\.slice"
    rules = {
        rf"{manager}/app-gnome-org\.telegram\.desktop-\d+\.scope$": "first",
        # The manager puts the instances of a template into a slice of their own.
        rf"{manager}/app-.*\.slice/app-flatpak-org\.mozilla\.firefox@\d+\.service$": "first",
        rf"{manager}/app-.*-updater-": "drop",
    }
    service.reconfigure(bed.config(rules))
    app = ("--slice=app.slice",)
    assert answers(machine, TELEGRAM, *app, user=True) == bed.everywhere("tproxy")
    assert answers(machine, FIREFOX, user=True) == bed.everywhere("tproxy")
    assert answers(machine, "app-gnome-updater-9.scope", *app, user=True, timeout=1) == bed.DROPPED
    assert answers(machine, "app-gnome-other-1.scope", *app, user=True) == bed.everywhere("origin")
    # The same name at another place is another app.
    assert answers(machine, TELEGRAM) == bed.everywhere("origin")


def test_a_user_logs_in_and_out_and_in_again(machine: Machine, service: Service) -> None:
    service.reconfigure(bed.config({rf"/user-{UID}\.slice/.*/app\.slice$": "first"}))
    assert not bed.map_elements("cgroup-vmap")
    for _ in range(2):
        machine.log_in()
        try:
            assert answers(machine, "a.service", user=True) == bed.everywhere("tproxy")
            assert answers(machine, "a.scope", user=True) == bed.everywhere("tproxy")
            background = "--slice=background.slice"
            assert answers(machine, "b.service", background, user=True) == bed.everywhere("origin")
        finally:
            machine.log_out()
        bed.wait_until(lambda: not bed.map_elements("cgroup-vmap"), "an empty map")


def test_every_instance_of_a_template_and_every_restart(machine: Machine, service: Service) -> None:
    log = "/run/instance-%i.log"
    machine.write(
        "/run/systemd/system/instance@.service",
        f"[Service]\nExecStart={PROBER} 0.01 1 {TCP4}\nStandardOutput=append:{log}\n",
    )
    machine.systemctl("daemon-reload")

    def seen(instance: str) -> list[str]:
        text = machine.run("cat", log.replace("%i", instance), check=False).stdout
        return [bed.Record.parse(line).outcome.by for line in text.splitlines()]

    def wait_for_probes(instance: str, more_than: int) -> None:
        bed.wait_until(lambda: len(seen(instance)) > more_than, f"probes of {instance}")

    service.reconfigure(bed.config({"/instance@proxied": "first"}))
    instances = {"proxied-1": "tproxy", "other": "origin"}
    units = [f"instance@{name}.service" for name in instances]
    for _ in range(5):
        known = [len(seen(name)) for name in instances]
        machine.systemctl("restart", *units)
        for name, count in zip(instances, known, strict=True):
            wait_for_probes(name, count + 10)
    machine.systemctl("stop", *units)
    for name, by in instances.items():
        assert set(seen(name)) == {by}


def test_a_delegated_subtree_as_a_container_has_it(machine: Machine, service: Service) -> None:
    """The manager knows only the unit; the cgroups below are the container's own."""
    rules = {r"/container\.service/payload/app$": "first", r"/container\.service$": "drop"}
    service.reconfigure(bed.config(rules))

    def probed_in(below: str) -> set[str]:
        unit = "/sys/fs/cgroup/system.slice/container.service"
        move = f"mkdir -p {unit}/{below} && echo 0 >{unit}/{below}/cgroup.procs"
        machine.run(
            *("systemd-run", "--quiet", "--collect", "--wait", "--unit=container.service"),
            *("--property=Delegate=yes", "--property=StandardOutput=truncate:/run/container.log"),
            *("sh", "-c", f"{move} && exec {PROBER} 0 1 {TCP4}"),
        )
        told = machine.run("cat", "/run/container.log").stdout.splitlines()
        return {bed.Record.parse(line).outcome.by for line in told}

    assert probed_in("payload/app") == {"tproxy"}
    assert probed_in("payload/app/deeper") == {"tproxy"}
    assert probed_in("payload/other") == {"timeout"}


def test_daemon_reload_and_reexec(machine: Machine, service: Service) -> None:
    pid = service.pid
    with UnitProber(machine, "proxied.service", *bed.flows()) as prober:
        for verb in ("daemon-reload", "daemon-reexec"):
            prober.wait_rounds(3)
            machine.systemctl(verb)
            assert answers(machine, "dropped.service", timeout=1) == bed.DROPPED
        prober.wait_rounds(3)
    assert prober.answers == {"tproxy"}
    assert service.pid == pid


def test_decisions_are_in_the_journal_with_fields(machine: Machine, service: Service) -> None:
    with UnitProber(machine, "proxied.service", *bed.flows()):
        service.wait_message(r"^/system\.slice/proxied\.service: ")
    path = "/system.slice/proxied.service"
    found = [entry for entry in service.log(f"CGROUP={path}") if "RULE" in entry]
    assert found
    assert found[0]["TARGET"] == "tproxy first"
    assert (found[0]["RULE"], found[0]["RULE_MATCH"]) == ("0", "/proxied")
    assert found[0]["SYSLOG_IDENTIFIER"] == "cgtproxy"
    assert found[0]["PRIORITY"] == "6"
    assert int(found[0]["CGROUP_ID"])
    assert re.search(r"tproxy first \(rules\[0\], line \d+\)$", found[0]["MESSAGE"])
