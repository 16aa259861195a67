"""What cannot be mended at once: told, endured without a busy loop, and over when it is over."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bed

NAMESPACE = "lonely"
INSIDE = ("nsenter", f"--net=/run/netns/{NAMESPACE}", "--")
OFF = "net.ipv6.conf.all.disable_ipv6={}"


@pytest.fixture
def lonely() -> Iterator[None]:
    """A network namespace that nobody else is in, to switch things off there."""
    bed.run("ip", "netns", "add", NAMESPACE)
    bed.run("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
    yield
    bed.run("ip", "netns", "delete", NAMESPACE)


def ours(family: str) -> tuple[str, Any]:
    rules = bed.run(*INSIDE, "ip", family, "rule", "show", "priority", "1000")
    listing = subprocess.run(
        [*INSIDE, "ip", family, "route", "show", "table", "300"], capture_output=True, text=True
    )
    return rules.strip(), listing.stdout.strip()


def wakeups(pid: int) -> int:
    """How often the process has run since it started."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


def test_ipv6_off_and_on(lonely: None) -> None:
    with bed.Daemon(bed.config(), wrapper=INSIDE) as daemon:
        before = ours("-4"), ours("-6")
        for _ in range(2):
            bed.run(*INSIDE, "sysctl", "-q", OFF.format(1))
            bed.wait_until(lambda: not ours("-6")[1], "the route to go")
            assert ours("-4") == before[0]
            bed.run(*INSIDE, "sysctl", "-q", OFF.format(0))
            bed.wait_until(lambda: (ours("-4"), ours("-6")) == before, "the route to come back")
        assert "ERROR" not in daemon.output


def test_started_with_ipv6_off(lonely: None) -> None:
    bed.run(*INSIDE, "sysctl", "-q", OFF.format(1))
    with bed.Daemon(bed.config(), wrapper=INSIDE):
        assert ours("-4")[1].startswith("local default dev lo")
        assert not ours("-6")[1]
        bed.run(*INSIDE, "sysctl", "-q", OFF.format(0))
        bed.wait_until(lambda: ours("-6")[1], "the route to come")
        bed.run(*INSIDE, "sysctl", "-q", OFF.format(1))
    assert [ours("-4"), ours("-6")] == [("", ""), ("", "")]


def test_a_kernel_without_ipv6(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    """As far as that can be had here: its sysctls are not there."""
    hide = ("unshare", "--mount", "sh", "-c")
    script = 'mount -t tmpfs none /proc/sys/net/ipv6 && exec "$@"'
    with bed.Daemon(bed.config(), wrapper=(*hide, script, "sh")):
        seen = bed.paths(cgroup("proxy"), timeout=0.5)
        assert (seen["tcp4"], seen["udp4"]) == ("tproxy", "tproxy")
        assert "origin" not in seen.values()
        assert [rule["priority"] for rule in bed.ip_rules(6)] == [0, 32766]


def test_a_fault_that_always_comes_back_is_mended_less_and_less_often(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    deletions = 0
    enough = threading.Event()

    def vandal() -> None:
        nonlocal deletions
        while not enough.is_set():
            command = ["ip", "rule", "del", "priority", "1000"]
            deletions += subprocess.run(command, capture_output=True, check=False).returncode == 0

    with (
        bed.Daemon(bed.config()) as daemon,
        bed.Prober(cgroup("proxy"), *bed.flows(), interval=0.05) as prober,
    ):
        thread = threading.Thread(target=vandal)
        thread.start()
        try:
            daemon.wait_notified("STATUS=degraded: another program keeps undoing our changes.*")
            slow, before = len(daemon.notified), wakeups(daemon.pid)
            # While degraded it tells its status each second: a clock that the daemon keeps.
            bed.wait_until(lambda: len(daemon.notified) >= slow + 3, "three more statuses")
            assert wakeups(daemon.pid) - before < 100
        finally:
            enough.set()
            thread.join()
        repairs = sum("mended" in line for line in daemon.lines)
        assert deletions - 1 <= repairs < 40
        bed.wait_until(lambda: len(bed.ip_rules(4)) == 4, "the rule to come back for good")
        prober.wait_rounds(2)
        daemon.wait_notified(r"STATUS=\d+ cgroups.*", since=len(daemon.notified), timeout=30)
    assert "origin" not in {record.outcome.by for record in prober.records}


def test_a_fault_that_cannot_be_mended_is_no_busy_loop() -> None:
    with bed.Daemon(bed.config()) as daemon:
        bed.run("ip", "route", "replace", "unreachable", "default", "table", "300")
        daemon.wait_notified("STATUS=degraded: cannot add the IPv4 route.*")
        before, slow = wakeups(daemon.pid), len(daemon.notified)
        bed.run("ip", "rule", "add", "priority", "9", "lookup", "main")  # not ours: no news
        bed.run("ip", "rule", "del", "priority", "9")
        bed.wait_until(lambda: len(daemon.notified) >= slow + 2, "two more statuses")
        assert wakeups(daemon.pid) - before < 100
        assert sum("ERROR" in line for line in daemon.lines) == 1
        bed.run("ip", "route", "del", "unreachable", "default", "table", "300")
        daemon.wait_line("recovered from: cannot add the IPv4 route")


def test_a_delegated_cgroup_that_its_owner_closed(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """It cannot be looked into with no privilege but CAP_NET_ADMIN; what is in it follows it."""
    rules = {"^/open": "first", "^/user/drop": "drop", "^/user": "first"}
    closed = cgroup("user")
    early = cgroup("user/drop-early")
    with bed.Daemon(bed.config(rules), wrapper=bed.NET_ADMIN_ONLY) as daemon:
        closed.directory.chmod(0o700)
        late = cgroup("user/drop-late")
        assert bed.paths(late) == bed.everywhere("tproxy")
        assert bed.paths(early, timeout=0.5) == bed.DROPPED
        assert bed.paths(cgroup("open")) == bed.everywhere("tproxy")
        early_id = early.id
        early.remove()
        bed.wait_until(lambda: early_id not in bed.verdicts(), "nothing stale to be left")
        closed.directory.chmod(0o755)
        assert bed.paths(cgroup("user/drop-again"), timeout=0.5) == bed.DROPPED
        late.remove()
        closed.remove()
        bed.wait_until(lambda: len(bed.verdicts()) == 1, "only /open to be left")
        assert "Traceback" not in daemon.output
    with bed.Daemon(bed.config(rules), wrapper=bed.NET_ADMIN_ONLY) as daemon:
        closed.mkdir().directory.chmod(0o700)
        daemon.wait_line("WARNING.*cannot watch /sys/fs/cgroup/user")
        assert bed.paths(cgroup("user/drop"), timeout=0.5) == bed.everywhere("tproxy")
