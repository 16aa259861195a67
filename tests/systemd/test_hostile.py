"""A user who does what he may with the cgroups that are delegated to him."""

from __future__ import annotations

import re
import subprocess

import pytest

import bed
from bed.machine import PROGRAMS, PYTHON, UID, Machine, UnitProber, answers
from bed.service import Service

EVIL = f"/user.slice/user-{UID}.slice/user@{UID}.service/app.slice/evil.service"
PROBE = f"exec {PYTHON} -IS {PROGRAMS}/prober.py 0 1 tcp,{bed.REMOTE4},80"
DEEP = "x/" * 1000
FLOODS = {
    "siblings": "mkdir {0..49999}; rmdir {0..49999}",
    "nested": f"mkdir -p {DEEP}; rmdir -p {DEEP}",
    "churn": "for i in {1..200}; do mkdir a{1..10}; rmdir a{1..10}; done",
}

pytestmark = pytest.mark.usefixtures("alice")


def evil(machine: Machine, script: str) -> subprocess.Popen[str]:
    """Alice runs a script in evil.service, whose subtree is delegated to her."""
    script = f"cd /sys/fs/cgroup{EVIL}; {script}"
    run = ["systemd-run", "--user", "--quiet", "--collect", "--pipe", "--wait"]
    unit = ["--unit=evil.service", "--property=Delegate=yes", "bash", "-c", script]
    argv = machine.command(*run, *unit, user=True)
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def seen_by(app: subprocess.Popen[str]) -> str:
    assert app.stdout
    return bed.Record.parse(app.stdout.readline().rstrip()).outcome.by


def test_an_unreadable_cgroup_follows_the_one_above(machine: Machine, service: Service) -> None:
    """The daemon need not see into it: nothing in there is freer than what is above."""
    service.reconfigure(bed.config({"/free$": "direct", r"/evil\.service$": "drop"}))
    go = "echo 0 >hidden/free/cgroup.procs"
    with evil(machine, f"mkdir -p hidden/free; {go}; {PROBE}") as readable:
        assert seen_by(readable) == "origin"
    with evil(
        machine, f"mkdir hidden; chmod 700 hidden .; mkdir hidden/free; {go}; {PROBE}"
    ) as app:
        assert seen_by(app) == "timeout"
    assert service.show("SubState") == "running"
    assert answers(machine, "other.service") == bed.everywhere("origin")


def test_a_start_beside_an_unreadable_cgroup(machine: Machine, service: Service) -> None:
    service.configure(bed.config({"/free$": "direct", r"/evil\.service$": "drop"}))
    service.machine.systemctl("stop", "cgtproxy")
    hide = "mkdir -p hidden/free; echo 0 >hidden/free/cgroup.procs; chmod 700 hidden ."
    wait = "until [ -e /tmp/go ]; do sleep 0.01; done; rm -f /tmp/go"
    with evil(machine, f"{hide}; echo hidden; {wait}; {PROBE}") as app:
        assert app.stdout
        assert app.stdout.readline() == "hidden\n"
        service.start()
        machine.run("touch", "/tmp/go", user=True)
        assert seen_by(app) == "timeout"
    assert f"cannot watch /sys/fs/cgroup{EVIL}" in service.messages()


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_cgroups(machine: Machine, service: Service, kind: str) -> None:
    pid = service.pid
    with UnitProber(machine, "proxied.service", *bed.flows(), timeout=5) as old:
        old.wait_rounds()
        with evil(machine, FLOODS[kind]) as flood:
            new = [answers(machine, "proxied-new.service")]
            while flood.poll() is None:
                new.append(answers(machine, "proxied-new.service"))
    assert flood.returncode == 0
    assert old.answers == {"tproxy"}
    # On a machine that is busy otherwise too, a new app may now and then be faster than we are.
    assert new.count(bed.everywhere("tproxy")) > len(new) / 2

    def left() -> str:
        return re.sub(r"^\d\d cgroups, 0 in the map$", "", service.show("StatusText"))

    bed.wait_until(lambda: not left(), "nothing of the flood to be left")
    assert service.pid == pid
    if kind == "siblings":
        first = service.log("PRIORITY=4")[0]
        assert (first["CGROUP"], "10" in first["MESSAGE"]) == (EVIL, True)
