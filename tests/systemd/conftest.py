"""Fixtures of the tests in a booted systemd, which run inside `tests/bed/run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bed
from bed.machine import Machine
from bed.service import RULES, Service, documented
from bed.units import UNITS, StartUnit

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def world(origin: bed.Origin, tproxy_server: bed.Responder) -> None:
    """Every test has it."""


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package of this tree, which dev/test builds while there is a network."""
    packages = sorted((PROJECT / "dist").glob("cgtproxy_*.deb"), key=lambda p: p.stat().st_mtime)
    assert packages, "first run dev/build-deb"
    return packages[-1]


@pytest.fixture(scope="module")
def machine(package: Path, origin: bed.Origin) -> Iterator[Machine]:
    """Booted for each file of tests, with our package installed and the service not enabled."""
    with Machine(package) as booted:
        yield booted


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """The shipped unit, running with RULES; every test is held to leaving nothing behind."""
    unit = Service(machine)
    unit.configure(bed.config(RULES))
    unit.start()
    yield unit
    machine.systemctl("stop", "cgtproxy", "cgtproxy-proxy")
    drop_ins = [Service(machine, name).drop_ins for name in ("cgtproxy", "cgtproxy-proxy")]
    machine.run("rm", "-rf", *drop_ins, "/etc/cgtproxy")
    machine.systemctl("daemon-reload")
    machine.systemctl("reset-failed")
    left = bed.traces()
    bed.reset()
    assert not left


@pytest.fixture
def alice(machine: Machine) -> Iterator[None]:
    """Logged in."""
    machine.log_in()
    yield
    machine.log_out()


@pytest.fixture(params=("inotify", "dbus", "both"))
def monitor(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def daemon(service: Service, monitor: str) -> Iterator[Service]:
    """The service with a monitor, as root in the way that the documentation tells."""
    service.override(**documented("dbus.md"))
    service.configure(bed.config(UNITS, monitor=monitor))
    service.machine.systemctl("restart", "cgtproxy")
    yield service
    service.machine.systemctl("stop", "proxied.slice", "dropped.slice")  # they would stay


@pytest.fixture
def run(machine: Machine) -> Iterator[StartUnit]:
    start = StartUnit(machine)
    yield start
    start.stop_all()
