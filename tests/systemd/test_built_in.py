"""The built-in server's own unit: it follows the manager's by itself, and outlives its restarts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bed
from bed import dns, transfers
from bed.machine import Machine, answers
from bed.service import CONFIG_FILE, Service
from bed.upstreams import PASSWORD, microsocks

DIRECT = {"built-in": {"port": 10005, "mark": 3005, "upstream": "direct://"}}
SERVED = bed.config({"/proxied": "built-in"}, tproxies=DIRECT)
NOT_SERVED = bed.config({"/proxied": "first"})
FAULTY = "version: 1\nrules: nonsense"
ORIGIN, SOMEBODY_ELSE = bed.everywhere("origin"), bed.everywhere("tproxy")


@pytest.fixture
def server(service: Service) -> Service:
    """Serving, for a manager that has just been told to have it served."""
    service.reconfigure(SERVED)
    unit = Service(service.machine, "cgtproxy-proxy")
    wait_state(unit, "active")
    return unit


def wait_state(unit: Service, state: str) -> None:
    bed.wait_until(lambda: unit.show("ActiveState") == state, f"{unit.unit} to be {state}")


def paths(machine: Machine) -> dict[str, str]:
    """Who answers a ruled app. Without a server it would be refused."""
    return answers(machine, "proxied.service")


def test_it_serves_tcp_and_udp(server: Service) -> None:
    assert paths(server.machine) == ORIGIN
    assert not server.log("PRIORITY=4")
    assert "workers serve built-in on port 10005" in server.show("StatusText")


def test_it_carries_large_transfers(machine: Machine, server: Service) -> None:
    plan = [transfers.transfer(10_000_000, 10_000_000)] * 8
    with (
        bed.Cgroup(f"{machine.cgroup.path}/proxied.service") as app,
        transfers.TransferServer(),
    ):
        assert transfers.run(app, bed.REMOTE4, plan) == ["ok"] * len(plan)
    assert not server.log("PRIORITY=4")


def test_without_an_upstream_it_is_skipped(machine: Machine, service: Service) -> None:
    service.reconfigure(NOT_SERVED)
    server = Service(machine, "cgtproxy-proxy")
    bed.wait_until(lambda: server.show("Result") == "exec-condition", "the condition")
    wait_state(server, "inactive")
    assert not machine.systemctl("--failed", "--no-legend")


def restart(service: Service) -> None:
    service.machine.systemctl("restart", "cgtproxy")


def reload(service: Service) -> None:
    service.machine.systemctl("reload", "cgtproxy")


@pytest.mark.parametrize("take_over", [reload, restart])
def test_upstreams_come_and_go(
    service: Service, server: Service, take_over: Callable[[Service], None]
) -> None:
    service.configure(NOT_SERVED)
    take_over(service)
    wait_state(server, "inactive")
    assert server.show("Result") == "success"
    assert paths(server.machine) == SOMEBODY_ELSE
    service.configure(SERVED)
    take_over(service)
    wait_state(server, "active")
    assert paths(server.machine) == ORIGIN
    service.configure(SERVED.replace("10005", "10006"))
    take_over(service)
    server.wait_message("^reloaded: .* on port 10006")
    assert paths(server.machine) == ORIGIN


def killed(service: Service) -> None:
    pid = service.pid
    service.machine.systemctl("kill", "--signal=KILL", "cgtproxy")
    service.wait_restarted(pid)


def hanging(service: Service) -> None:
    service.override(WatchdogSec=1)
    restart(service)
    pid = service.pid
    service.machine.systemctl("kill", "--signal=STOP", "cgtproxy")
    service.wait_restarted(pid)


def failing(service: Service) -> None:
    service.configure(FAULTY)
    service.machine.systemctl("restart", "cgtproxy", check=False)
    assert service.show("ActiveState") == "failed"


@pytest.mark.parametrize("event", [restart, killed, hanging, failing])
def test_connections_outlive_the_manager(
    machine: Machine, service: Service, server: Service, event: Callable[[Service], None]
) -> None:
    pid = server.pid
    with (
        bed.Cgroup(f"{machine.cgroup.path}/proxied.service") as app,
        bed.Conversation(app, bed.flows()[0]) as talk,
    ):
        assert talk.ask()[0].by == "origin"
        event(service)
        assert talk.ask()[0].by == "origin"
    assert server.pid == pid
    assert paths(machine) == ORIGIN
    service.configure(SERVED)
    restart(service)


def test_it_stops_with_the_manager_and_starts_with_it(service: Service, server: Service) -> None:
    service.machine.systemctl("stop", "cgtproxy")
    wait_state(server, "inactive")
    assert server.show("Result") == "success"
    service.start()
    wait_state(server, "active")
    assert paths(server.machine) == ORIGIN


def test_it_is_killed(server: Service) -> None:
    pid = server.pid
    server.machine.systemctl("kill", "--signal=KILL", "cgtproxy-proxy")
    server.wait_restarted(pid)
    assert paths(server.machine) == ORIGIN


def test_a_catch_all_does_not_send_its_own_traffic_back_to_it(
    machine: Machine, service: Service, server: Service
) -> None:
    service.reconfigure(bed.config({"^/system.slice": "built-in"}, tproxies=DIRECT))
    assert paths(machine) == ORIGIN


def address_of(machine: Machine, name: str) -> str:
    """What a ruled app is told."""
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--unit=proxied.service"]
    return machine.run(*unit, "getent", "ahostsv4", name).stdout.split()[0]


def test_fake_ip_addresses_stay_over_a_restart(
    machine: Machine, service: Service, server: Service
) -> None:
    tproxies = {"built-in": {**DIRECT["built-in"], "dns": {}}}
    service.reconfigure(bed.config({"/proxied": "built-in"}, tproxies=tproxies))
    server.wait_message("^reloaded: .* DNS for built-in")
    first = address_of(machine, "a.example")
    assert first.startswith("198.18.")
    machine.systemctl("restart", "cgtproxy-proxy")
    assert address_of(machine, "b.example") != first
    assert address_of(machine, "a.example") == first
    assert not server.log("PRIORITY=4")


def test_dns_over_https_with_the_distributions_packages(
    machine: Machine, service: Service, server: Service, tmp_path: Path
) -> None:
    with dns.Unbound(tmp_path) as unbound:
        machine.write("/etc/cgtproxy/ca.pem", unbound.certificate.read_text())
        server.override(Environment="SSL_CERT_FILE=/etc/cgtproxy/ca.pem")
        options = {"mode": "forward", "upstream": dns.url("https")}
        tproxies = {"built-in": {**DIRECT["built-in"], "dns": options}}
        service.configure(bed.config({"/proxied": "built-in"}, tproxies=tproxies))
        machine.systemctl("restart", "cgtproxy", "cgtproxy-proxy")
        assert address_of(machine, "real.example") == dns.REAL4
        assert set(unbound.asked("real.example")) == {bed.HOST4}
        assert not server.log("PRIORITY=4")


def test_security_analysis(server: Service) -> None:
    told = server.machine.run("systemd-analyze", "security", "cgtproxy-proxy.service").stdout
    score = re.search(r"exposure level for cgtproxy-proxy.service: ([\d.]+)", told)
    assert score
    assert float(score[1]) <= 2.0, told


def test_it_has_the_privileges_that_it_needs_and_a_user_of_its_own(
    service: Service, server: Service
) -> None:
    status, manager = server.process_status(), service.process_status()
    net_bind_service, net_admin, net_raw = 1 << 10, 1 << 12, 1 << 13
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == net_bind_service | net_admin | net_raw
        assert int(manager[name], 16) == net_admin
    assert status["NoNewPrivs"] == "1"
    assert not {"0", *manager["Uid"].split()} & set(status["Uid"].split())
    policy = server.machine.run("ps", "-o", "cls=", "-p", server.pid).stdout
    assert policy.strip() == "TS"  # the manager's is RR


@pytest.fixture
def socks(machine: Machine) -> Iterator[None]:
    with bed.Cgroup(f"{machine.cgroup.path}/socks") as cgroup, microsocks(cgroup, login=True):
        yield


def through(login: str, password: str) -> str:
    upstream = f"socks5://{login}@127.0.0.1:1080{password}"
    return bed.config(
        {"/proxied": "built-in"},
        tproxies={"built-in": {"port": 10005, "mark": 3005, "upstream": upstream}},
    )


def tcp(machine: Machine) -> set[str]:
    """This upstream has no UDP."""
    return {by for name, by in paths(machine).items() if name.startswith("tcp")}


def test_a_password_that_only_the_units_may_read(
    machine: Machine, service: Service, server: Service, socks: None
) -> None:
    machine.run("chown", "root:cgtproxy", CONFIG_FILE)
    machine.run("chmod", "640", CONFIG_FILE)
    service.reconfigure(through("al%3Aice:p%40ss%2Fword", ""))
    server.wait_message("^reloaded: .* to socks5://127.0.0.1:1080$")
    assert tcp(machine) == {"origin"}
    assert PASSWORD not in server.messages()


def test_a_password_from_a_credential(
    machine: Machine, service: Service, server: Service, socks: None
) -> None:
    machine.write("/etc/cgtproxy/password", PASSWORD)
    machine.run("chmod", "600", "/etc/cgtproxy/password")
    service.reconfigure(through("al%3Aice", "?password-credential=upstream"))
    server.wait_message("not reloaded.*systemd has passed no credentials")
    server.override(LoadCredential="upstream:/etc/cgtproxy/password")
    machine.systemctl("restart", "cgtproxy-proxy")
    assert tcp(machine) == {"origin"}


BOOTED = "/etc/systemd/system/multi-user.target.d/wants.conf"


@pytest.mark.parametrize(("config", "state"), [(SERVED, "active"), (NOT_SERVED, "inactive")])
def test_boot(service: Service, package: Path, config: str, state: str) -> None:
    service.machine.systemctl("stop", "cgtproxy")
    files = {CONFIG_FILE: config, BOOTED: "[Unit]\nWants=cgtproxy.service\n"}
    with Machine(package, files=files) as machine:
        assert machine.run("systemctl", "is-system-running", check=False).stdout == "running\n"
        assert "ordering cycle" not in machine.console
        assert Service(machine, "cgtproxy-proxy").show("ActiveState") == state
        machine.systemctl("stop", "cgtproxy")
