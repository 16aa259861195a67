"""The shipped unit: at no moment of its life does a ruled app's packet go direct."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import bed
from bed.machine import Machine, UnitProber
from bed.service import RULES, Service

NEVER_DIRECT = {"proxied.service": {"tproxy"}, "dropped.service": {"timeout", "denied"}}
TIMEOUT = {"proxied.service": 5.0, "dropped.service": 1.0}  # seconds


@pytest.fixture
def watched(machine: Machine, service: Service) -> Iterator[list[UnitProber]]:
    """A proxied and a dropped app that try everything all the time; none may ever get out."""
    with ExitStack() as stack:
        probers = [
            stack.enter_context(UnitProber(machine, unit, *bed.flows(), timeout=TIMEOUT[unit]))
            for unit in NEVER_DIRECT
        ]
        for prober in probers:
            prober.wait_rounds()
        yield probers
        for prober in probers:
            prober.wait_rounds(5)
    for prober in probers:
        assert prober.answers == NEVER_DIRECT[prober.unit]


def test_it_starts_and_says_how_it_is(service: Service) -> None:
    assert service.show("SubState") == "running"
    assert re.fullmatch(r"\d+ cgroups, \d+ in the map", service.show("StatusText"))


def test_security_analysis(machine: Machine, service: Service) -> None:
    told = machine.run("systemd-analyze", "security", "cgtproxy.service", "--no-pager").stdout
    score = re.search(r"exposure level for cgtproxy.service: ([\d.]+)", told)
    assert score
    assert float(score[1]) <= 1.5, told


def test_it_has_one_privilege_and_no_other(service: Service) -> None:
    status = service.process_status()
    cap_net_admin = f"{1 << 12:016x}"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[name] == cap_net_admin
    assert status["NoNewPrivs"] == "1"
    assert "0" not in status["Uid"].split()


def test_reload(service: Service, watched: list[UnitProber]) -> None:
    pid = service.pid
    service.configure(bed.config({"/proxied": "first", "/dropped": "drop", "/another": "drop"}))
    service.machine.systemctl("reload", "cgtproxy")
    service.wait_message("^reloaded:")
    assert service.pid == pid


def test_reload_of_a_wrong_configuration_changes_nothing(
    service: Service, watched: list[UnitProber]
) -> None:
    service.configure("version: 1\nrules: nonsense")
    service.machine.systemctl("reload", "cgtproxy")
    service.wait_message("not reloaded")
    assert service.show("SubState") == "running"


def test_restart(service: Service, watched: list[UnitProber]) -> None:
    pid = service.pid
    service.machine.systemctl("restart", "cgtproxy")
    assert service.pid != pid


def test_it_is_killed(service: Service, watched: list[UnitProber]) -> None:
    pid = service.pid
    service.machine.systemctl("kill", "--signal=KILL", "cgtproxy")
    service.wait_restarted(pid)


def test_the_watchdog_finds_it_hanging(service: Service, watched: list[UnitProber]) -> None:
    service.override(WatchdogSec=1)
    service.machine.systemctl("restart", "cgtproxy")
    pid = service.pid
    service.machine.systemctl("kill", "--signal=STOP", "cgtproxy")
    service.wait_restarted(pid)
    assert int(service.show("NRestarts")) == 1


def test_from_the_start_to_the_stop(machine: Machine, service: Service) -> None:
    machine.systemctl("stop", "cgtproxy")
    with UnitProber(machine, "proxied.service", *bed.flows()) as prober:
        assert {record.outcome.by for record in prober.wait_rounds()} == {"origin"}
        service.start()
        started = time.monotonic_ns()
        prober.wait_rounds(20)
        stopping = time.monotonic_ns()
        machine.systemctl("stop", "cgtproxy")
        assert not bed.traces()
        assert {record.outcome.by for record in prober.wait_rounds()} == {"origin"}
    ruled = [
        record for record in prober.records if record.start > started and record.end < stopping
    ]
    assert {record.outcome.by for record in ruled} == {"tproxy"}


def test_a_restart_with_a_wrong_configuration_leaves_the_old_rules(
    service: Service, watched: list[UnitProber]
) -> None:
    service.configure("version: 1\nrules: nonsense")
    service.machine.systemctl("restart", "cgtproxy", check=False)
    assert (service.show("ActiveState"), service.show("ExecMainStatus")) == ("failed", "78")
    for prober in watched:
        prober.wait_rounds(3)
    service.configure(bed.config(RULES))
    service.start()


def test_what_can_mend_itself_is_tried_again(service: Service) -> None:
    """Another instance holds the lock; when it goes, the service takes over."""
    service.machine.systemctl("stop", "cgtproxy")
    with bed.Daemon(bed.config(RULES)):
        service.machine.systemctl("start", "--no-block", "cgtproxy")
        bed.wait_until(lambda: int(service.show("NRestarts")) >= 2, "restarts")
    bed.wait_until(lambda: service.show("SubState") == "running", "the service")
