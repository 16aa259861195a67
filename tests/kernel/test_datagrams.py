"""UDP through the built-in server: sizes, full cone, ICMP errors, expiry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bed
from bed import upstreams
from bed.built_in import Start, config

ECHO = str(bed.PROGRAMS / "datagram_echo.py")
SIZES = str(bed.PROGRAMS / "datagram_sizes.py")
CONE = str(bed.PROGRAMS / "cone.py")
STRANGER = str(bed.PROGRAMS / "stranger.py")
ERROR = str(bed.PROGRAMS / "icmp_error.py")
SOCKS5 = f"socks5://127.0.0.1:{upstreams.PORT}"


def run(app: bed.Cgroup, program: str, *arguments: str) -> str:
    process = app.spawn([sys.executable, program, *arguments], stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    return str(output, "utf-8").strip()


@pytest.mark.parametrize("upstream", ["direct://", SOCKS5], ids=["direct", "socks5"])
@pytest.mark.parametrize("host", [bed.REMOTE4, bed.REMOTE6])
def test_datagrams_of_any_size(
    start: Start, cgroup: bed.MakeCgroup, tmp_path: Path, upstream: str, host: str
) -> None:
    echo = bed.Program([*bed.OUTSIDE, sys.executable, ECHO, host])
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), echo, start(config(upstream)):
        echo.wait_line("^ready$")
        largest = "65000" if upstream == "direct://" else "9000"  # sing-box cuts at 16 KiB
        assert run(cgroup("app"), SIZES, host, largest) == "ok"


@pytest.mark.parametrize("upstream", ["direct://", SOCKS5], ids=["direct", "socks5"])
def test_full_cone(start: Start, cgroup: bed.MakeCgroup, tmp_path: Path, upstream: str) -> None:
    with (
        upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"),
        start(config(upstream)),
        bed.Program([sys.executable, CONE], cgroup=cgroup("app")) as client,
    ):
        same, port = client.wait_line("^(True|False)").split()
        assert same == "True"
        host = bed.HOST4 if upstream == "direct://" else bed.PROXY4
        bed.run(*bed.OUTSIDE, sys.executable, STRANGER, host, port)
        client.wait_line(r"^stranger 203\.0\.113\.5 4444$")


@pytest.mark.parametrize("host", [bed.REMOTE4, bed.REMOTE6])
def test_icmp_errors_are_passed_on(start: Start, cgroup: bed.MakeCgroup, host: str) -> None:
    with start(config()):
        assert run(cgroup("app"), ERROR, host) == "refused"


def test_sessions_expire(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config(workers={"udp-timeout": 1, "count": 1, "connections": 2})) as server:
        app = cgroup("app")
        flows = [bed.Flow("udp", f"192.0.2.{n}", 80) for n in range(10, 20)]
        assert {o.by for o in bed.probe(app, *flows).values()} == {"origin", "timeout"}
        server.wait_line("no more UDP sessions for now: 2 are open")
        bed.wait_until(
            lambda: bed.probe(app, flows[0])[flows[0]].by == "origin", "expiry", timeout=30
        )


def test_clients_that_get_nowhere_count_too(cgroup: bed.MakeCgroup, tmp_path: Path) -> None:
    """What goes to an address without a name is refused, but the session has a socket by then."""
    text = config(dns={}, workers={"count": 1, "connections": 2})
    with bed.Daemon(text, env={"STATE_DIRECTORY": str(tmp_path)}) as server:
        flow = bed.Flow("udp", "198.18.77.77", 80)
        app = cgroup("app")
        for _ in range(3):
            bed.probe(app, flow, timeout=1)
        server.wait_line("no more UDP sessions for now: 2 are open")


def test_a_datagram_to_the_port_itself_is_refused(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config()) as server:
        flow = bed.Flow("udp", bed.HOST4, 10005)
        assert bed.probe(cgroup("other"), flow, timeout=1)[flow].by == "timeout"
        server.wait_line("refused, the destination is this server itself")
