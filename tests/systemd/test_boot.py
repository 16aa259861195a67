"""A boot with the service enabled: the rules are there before anybody can use the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bed
from bed.machine import PROGRAMS, PYTHON, USER, Machine
from bed.service import CONFIG_FILE

UNITS = "/etc/systemd/system"
PROBE = f"""\
[Service]
Type=oneshot
ExecStart={PYTHON} -IS {PROGRAMS}/prober.py 0 1 tcp,{bed.REMOTE4},80
StandardOutput=file:%t/proxied.log
"""
# As cloud-init has it on Debian and Ubuntu: a part of sysinit.target that needs the network.
NEEDS_NETWORK = """\
[Unit]
DefaultDependencies=no
After=network-pre.target
Before=sysinit.target
"""
FILES = {
    CONFIG_FILE: bed.config({"/proxied": "first"}),
    f"{UNITS}/multi-user.target.d/wants.conf": "[Unit]\nWants=cgtproxy.service proxied.service\n",
    f"{UNITS}/proxied.service": PROBE,
    f"{UNITS}/sysinit.target.d/wants.conf": "[Unit]\nWants=proxied-early.service\n",
    f"{UNITS}/proxied-early.service": NEEDS_NETWORK + PROBE.replace("proxied.log", "early.log"),
    f"/var/lib/systemd/linger/{USER}": "",  # is logged in from the boot on
    "/etc/systemd/user/default.target.d/wants.conf": "[Unit]\nWants=proxied-user.service\n",
    "/etc/systemd/user/proxied-user.service": PROBE,
}


@pytest.fixture(scope="module")
def booted(package: Path, origin: bed.Origin) -> Iterator[Machine]:
    with Machine(package, files=FILES) as machine:
        yield machine
        machine.systemctl("stop", "cgtproxy")
    assert not bed.traces()


@pytest.mark.parametrize(
    "log", ["/run/early.log", "/run/proxied.log", "/run/user/1000/proxied.log"]
)
def test_the_first_packets_after_the_boot(booted: Machine, log: str) -> None:
    told = bed.wait_until(lambda: booted.run("cat", log, check=False).stdout, log)
    assert bed.Record.parse(told.rstrip()).outcome.by == "tproxy"


def test_the_boot_has_no_ordering_cycle(booted: Machine) -> None:
    assert booted.run("systemctl", "is-system-running", check=False).stdout == "running\n"
    assert "ordering cycle" not in booted.console
