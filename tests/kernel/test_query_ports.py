"""conntrack knows a query by its addresses and ports, for 30 seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bed
from bed.built_in import Start
from bed.fake_ip import NAME, ask, check
from bed.nameserver import Nameserver

FIRST, LAST = 40000, 40015
KNOWN = Path("/proc/sys/net/netfilter/nf_conntrack_count")
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
ASK_BY_ALL_PORTS = str(bed.PROGRAMS / "ask_by_all_ports.py")
# As firewalls have it: what nobody has asked for is not let in.
FIREWALL = """table inet firewall { chain input { type filter hook input priority 0;
    meta l4proto udp udp sport 53 ct state != established drop; }; }"""


@pytest.fixture
def few_ports() -> Iterator[None]:
    before = RANGE.read_text()
    RANGE.write_text(f"{FIRST} {LAST}")
    yield
    RANGE.write_text(before)


def ask_by_all_ports(cgroup: bed.Cgroup) -> set[str]:
    argv = [sys.executable, ASK_BY_ALL_PORTS, str(FIRST), str(LAST)]
    asked = cgroup.spawn(argv, stdout=subprocess.PIPE)
    return set(asked.communicate(timeout=60)[0].decode().split())


def test_the_servers_own_queries_are_none_of_an_app(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, few_ports: None
) -> None:
    """Not even where it is started in an app's cgroup."""
    app = cgroup("app")
    with start_fake_ip(home=app):
        assert ask_by_all_ports(app) == {"198.18.0.1"}
        bed.nft(FIREWALL)
        try:
            check(ask(app, "tcp", 4, NAME), 1, bed.REMOTE4)
        finally:
            bed.run("nft", "delete", "table", "inet", "firewall")
        assert {f"{NAME} A", f"{NAME} AAAA"} <= set(names.lines)


def test_those_of_others_are_not_either(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup
) -> None:
    names.tell("one.example", bed.REMOTE4)
    with start_fake_ip() as daemon:
        app, other = cgroup("app"), cgroup("other")
        daemon.wait_line("/app: tproxy")
        for _ in range(2):
            assert ask_by_all_ports(app) == {"198.18.0.1"}
            assert ask_by_all_ports(other) == {bed.REMOTE4}


def test_the_bed_makes_conntrack_forget(names: Nameserver, cgroup: bed.MakeCgroup) -> None:
    names.tell("one.example", bed.REMOTE4)
    bed.nft(FIREWALL)
    assert ask_by_all_ports(cgroup("app")) == {bed.REMOTE4}
    assert int(KNOWN.read_text()) > LAST - FIRST
    bed.forget_flows()
    assert int(KNOWN.read_text()) < LAST - FIRST
    bed.run("nft", "delete", "table", "inet", "firewall")
