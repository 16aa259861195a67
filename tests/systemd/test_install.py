"""Installing: the Debian package, and `install-service` for a program from a Python venv."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import bed
from bed.machine import PROGRAMS, PYTHON, Machine, UnitProber, answers
from bed.service import CONFIG_FILE, Service

VENV = "/opt/venv"
UNIT = "/etc/systemd/system/cgtproxy.service"
SERVERS_UNIT = "/etc/systemd/system/cgtproxy-proxy.service"
SERVED = bed.config(
    {"/proxied": "built-in"},
    tproxies={"built-in": {"port": 10005, "mark": 3005, "upstream": "direct://"}},
)
STATE = "/var/lib/cgtproxy"
WRITTEN = {
    UNIT,
    SERVERS_UNIT,
    "/etc/sysusers.d/cgtproxy.conf",
    "/etc/cgtproxy/config.schema.json",
    CONFIG_FILE,
}


def etc(machine: Machine) -> dict[str, str]:
    """Every file and directory in /etc with its mode and content; without passwd's backups."""
    listing = machine.run("find", "/etc", "-type", "d", "-printf", "%m %p/\\n").stdout
    listing += machine.run(
        *("find", "/etc", "-type", "f", "!", "-name", "*-", "-exec", "sha256sum", "{}", "+")
    ).stdout
    return {
        path: value for value, path in (line.split(maxsplit=1) for line in listing.splitlines())
    }


@pytest.fixture
def without_package(machine: Machine, package: Path) -> Iterator[None]:
    machine.run("cp", "-r", "/usr/lib/cgtproxy", "/opt/modules")
    machine.run("dpkg", "--purge", "cgtproxy")
    machine.run("userdel", "cgtproxy")
    yield
    machine.run("dpkg", "--install", f"{PROGRAMS}/{package.name}")
    machine.run("rm", "-rf", "/opt/modules")


@pytest.fixture
def venv(machine: Machine, without_package: None) -> Iterator[str]:
    """The cgtproxy command of a venv that everybody may use."""
    make_venv(machine, VENV)
    yield f"{VENV}/bin/cgtproxy"
    machine.run("rm", "-rf", VENV, "/etc/cgtproxy")


def make_venv(machine: Machine, place: str) -> None:
    """As pip leaves it, from the modules that the package brought."""
    machine.run(PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", place)
    packages = machine.run("sh", "-c", f"echo {place}/lib/python3*/site-packages").stdout.strip()
    machine.write(f"{packages}/modules.pth", "/opt/modules\n")
    script = f"#!{place}/bin/python\nimport sys\nfrom cgtproxy.cli import main\nsys.exit(main())\n"
    machine.write(f"{place}/bin/cgtproxy", script)
    machine.run("chmod", "+x", f"{place}/bin/cgtproxy")


def test_install_service_and_uninstall_service(machine: Machine, venv: str) -> None:
    before = etc(machine)
    told = machine.run(venv, "install-service").stdout
    assert set(re.findall(r"^wrote (.*)$", told, re.MULTILINE)) == WRITTEN
    changed = {path for path, _ in etc(machine).items() - before.items() if path[-1] != "/"}
    accounts = {"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"}
    assert changed - accounts == WRITTEN
    machine.run("systemd-analyze", "verify", "--man=no", UNIT, SERVERS_UNIT)

    service, server = Service(machine), Service(machine, "cgtproxy-proxy")
    service.configure(SERVED)
    service.start()
    bed.wait_until(lambda: server.show("ActiveState") == "active", "the server")
    assert answers(machine, "proxied.service") == bed.everywhere("origin")
    for unit in (service, server):
        assert f"{VENV}/bin/python" in unit.show("ExecStart")
    machine.run("ls", f"{STATE}/")

    machine.run("rm", CONFIG_FILE)
    machine.run(venv, "install-service")  # once more: as after an upgrade
    told = machine.run(venv, "uninstall-service").stdout
    assert set(re.findall(r"^removed (/.*)$", told, re.MULTILINE)) == WRITTEN | {STATE}
    assert etc(machine) == before
    for unit in (service, server):
        assert (unit.show("LoadState"), unit.show("ActiveState")) == ("not-found", "inactive")
    assert machine.run("ls", STATE, check=False).returncode
    assert not bed.traces()
    told = machine.run(venv, "uninstall-service").stdout
    assert told == "there is nothing that `cgtproxy install-service` wrote\n"


def test_an_edited_configuration_is_kept(machine: Machine, venv: str) -> None:
    machine.write(CONFIG_FILE, "version: 1\n")
    assert f"kept {CONFIG_FILE}" in machine.run(venv, "install-service").stdout
    assert f"kept {CONFIG_FILE}" in machine.run(venv, "uninstall-service").stdout
    assert machine.run("cat", CONFIG_FILE).stdout == "version: 1\n"


def test_what_a_killed_instance_left_goes_too(machine: Machine, venv: str) -> None:
    machine.run(venv, "install-service")
    service = Service(machine)
    service.configure(bed.config({"/proxied": "first"}))
    service.override(Restart="no")
    service.start()
    machine.systemctl("kill", "--signal=KILL", "cgtproxy")
    bed.wait_until(lambda: service.show("ActiveState") == "failed", "its end")
    assert bed.traces()
    machine.run(venv, "uninstall-service")
    assert not bed.traces()
    machine.run("rm", "-r", service.drop_ins)
    machine.systemctl("reset-failed")


def refused(done: subprocess.CompletedProcess[str], code: int, why: str) -> None:
    assert (done.returncode, done.stdout) == (code, "")
    assert re.search(why, done.stderr), done.stderr


def test_what_is_wrong_is_said_and_nothing_is_changed(machine: Machine, venv: str) -> None:
    before = etc(machine)
    for command in ("install-service", "uninstall-service"):
        refused(machine.run(venv, command, user=True, check=False), 77, "needs root")

    make_venv(machine, "/root/venv")
    hidden = machine.run("/root/venv/bin/cgtproxy", "install-service", check=False)
    refused(hidden, 69, r"a service cannot run /root/venv/bin/python: .*; install it where every")
    machine.run("rm", "-r", "/root/venv")
    assert etc(machine) == before

    machine.write(UNIT, "[Service]\nExecStart=/bin/true\n")
    refused(machine.run(venv, "install-service", check=False), 69, f"{UNIT} exists")
    assert "nothing" in machine.run(venv, "uninstall-service").stdout
    assert machine.run("cat", UNIT).stdout == "[Service]\nExecStart=/bin/true\n"
    machine.run("rm", UNIT)


def test_the_package_is_compiled(machine: Machine) -> None:
    """The service's user may not write there: it would compile all of it at each start."""
    compiling = machine.run(PYTHON, "-m", "compileall", "/usr/lib/cgtproxy").stdout
    assert "Listing" in compiling
    assert "Compiling" not in compiling


def test_beside_the_package_and_without_systemd(machine: Machine) -> None:
    done = machine.run("cgtproxy", "install-service", check=False)
    refused(done, 69, r"systemd/system/cgtproxy.service exists")
    no_run = "mount -t tmpfs tmpfs /run && exec cgtproxy install-service"
    done = machine.run("unshare", "--mount", "sh", "-c", no_run, check=False)
    refused(done, 69, "systemd does not run here")


@pytest.mark.parametrize("killed", [False, True])
def test_the_package_is_removed_and_installed_anew(
    machine: Machine, package: Path, killed: bool
) -> None:
    service, server = Service(machine), Service(machine, "cgtproxy-proxy")
    service.configure(SERVED)
    service.override(Restart="no")
    machine.systemctl("enable", "--now", "cgtproxy")
    bed.wait_until(lambda: server.show("ActiveState") == "active", "the server")
    if killed:
        machine.systemctl("kill", "--signal=KILL", "cgtproxy")
        bed.wait_until(lambda: service.show("ActiveState") == "failed", "its end")
    assert bed.traces()
    machine.run("dpkg", "--purge", "cgtproxy")
    machine.run("rm", "-r", service.drop_ins, CONFIG_FILE)
    machine.systemctl("daemon-reload")
    machine.systemctl("reset-failed")
    for unit in (service, server):
        assert (unit.show("LoadState"), unit.show("ActiveState")) == ("not-found", "inactive")
    assert machine.run("ls", STATE, check=False).returncode
    assert not bed.traces()
    machine.run("dpkg", "--install", f"{PROGRAMS}/{package.name}")
    assert machine.run("cgtproxy", "--version").stdout.startswith("cgtproxy ")


def test_an_upgrade_restarts_the_server(machine: Machine, service: Service, package: Path) -> None:
    server = Service(machine, "cgtproxy-proxy")
    service.reconfigure(SERVED)
    bed.wait_until(lambda: server.show("ActiveState") == "active", "the server")
    pid = server.pid
    machine.run("dpkg", "--install", f"{PROGRAMS}/{package.name}")
    server.wait_restarted(pid)
    assert answers(machine, "proxied.service") == bed.everywhere("origin")


def test_an_upgrade_leaves_no_gap(machine: Machine, service: Service, package: Path) -> None:
    pid = service.pid
    with UnitProber(machine, "proxied.service", *bed.flows()) as prober:
        prober.wait_rounds()
        machine.run("dpkg", "--install", f"{PROGRAMS}/{package.name}")
        prober.wait_rounds(3)
    assert prober.answers == {"tproxy"}
    assert service.pid != pid
