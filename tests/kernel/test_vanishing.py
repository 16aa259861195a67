"""Somebody at one end of a connection is gone without a word, as after a power cut."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bed
from bed import upstreams
from bed.built_in import Start, config, processes, rules_alone
from bed.crowd import Usage
from bed.upstreams import https

ADDRESS = f"127.0.0.1:{upstreams.PORT}"
TO_FAR_END = f'oifname "uplink" ip daddr {bed.REMOTE4}'
TO_UPSTREAM, FROM_UPSTREAM = (f"tcp {end} {upstreams.PORT}" for end in ("dport", "sport"))
TO_CLIENT = f"ip saddr {bed.REMOTE4} tcp sport 80"
WAITER = str(bed.PROGRAMS / "waiter.py")


@contextmanager
def silence(*matches: str) -> Iterator[None]:
    """Let packets that match one of these get lost on their way out of this host."""
    drops = "".join(f"{match} drop; " for match in matches)
    hook = "type filter hook postrouting priority 0"
    bed.nft(f"table inet silence {{ chain out {{ {hook}; {drops} }}; }}")
    try:
        yield
    finally:
        bed.nft("delete table inet silence")


@contextmanager
def impatient(text: str) -> Iterator[bed.Daemon]:
    program = (bed.IMPATIENT, "proxy")
    with bed.Daemon(text, program=program) as server, bed.Daemon(rules_alone(text)):
        yield server


@contextmanager
def waiting(home: bed.Cgroup) -> Iterator[bed.Program]:
    """A client that has had an answer, and now waits for more."""
    with bed.Program([sys.executable, WAITER], cgroup=home) as client:
        client.wait_line("^origin")
        yield client


def test_the_far_end_vanishes(cgroup: bed.MakeCgroup) -> None:
    with impatient(config()), waiting(cgroup("app")) as client, silence(TO_FAR_END):
        client.wait_line("^reset$", timeout=30)


def test_an_upstream_vanishes(cgroup: bed.MakeCgroup, tmp_path: Path) -> None:
    url = f"https://{ADDRESS}?ca-file={tmp_path}/cert.pem"
    with (
        https(cgroup("upstream"), tmp_path),
        impatient(config(url)),
        waiting(cgroup("app")) as client,
        silence(TO_UPSTREAM, FROM_UPSTREAM),
    ):
        client.wait_line("^reset$", timeout=30)


def test_the_server_of_an_association_vanishes(cgroup: bed.MakeCgroup, tmp_path: Path) -> None:
    with (
        upstreams.dante(cgroup("upstream"), tmp_path),
        impatient(config(f"socks5://{ADDRESS}")) as server,
        bed.Conversation(cgroup("app"), bed.Flow("udp", bed.REMOTE4, 80)) as talk,
    ):
        workers = processes(server)
        assert talk.ask()[0].by == "origin"
        during = Usage.of(*workers).descriptors
        with silence(TO_UPSTREAM, FROM_UPSTREAM):
            bed.wait_until(lambda: Usage.of(*workers).descriptors < during, "the end", 30)
        assert talk.ask()[0].by == "origin"


@pytest.mark.parametrize("end", ["near", "far"])
def test_resets_go_through_tls(
    start: Start, cgroup: bed.MakeCgroup, tmp_path: Path, end: str
) -> None:
    text = config(f"https://{ADDRESS}?ca-file={tmp_path}/cert.pem")
    with (
        https(cgroup("upstream"), tmp_path),
        start(text),
        waiting(cgroup("app")) as client,
        silence(f"{TO_UPSTREAM} tcp flags & rst == rst counter"),
    ):
        if end == "far":
            bed.run("ss", "--kill", "--tcp", "src", "127.0.0.1", "sport", "=", str(upstreams.PORT))
            client.wait_line("^reset$")
        else:
            bed.run("ss", "--kill", "--tcp", "src", bed.HOST4, "dport", "=", "80")
            bed.wait_until(
                lambda: "counter packets 1 " in bed.run("nft", "list", "table", "inet", "silence"),
                "a reset",
            )


def test_the_client_vanishes(cgroup: bed.MakeCgroup) -> None:
    with impatient(config()) as server:
        workers = processes(server)
        before = Usage.of(*workers).descriptors
        with bed.Conversation(cgroup("app"), bed.Flow("tcp", bed.REMOTE4, 80)) as talk:
            assert talk.ask()[0].by == "origin"
            assert Usage.of(*workers).descriptors > before
            with silence(TO_CLIENT):
                bed.wait_until(
                    lambda: Usage.of(*workers).descriptors == before, "the end", timeout=30
                )


def test_both_ends_are_looked_after(start: Start, cgroup: bed.MakeCgroup) -> None:
    """As shipped, which would take minutes to wait for: the kernel tells when it will ask."""
    with (
        start(config(workers={"idle-timeout": 8, "count": 1})),
        bed.Conversation(cgroup("app"), bed.Flow("tcp", bed.REMOTE4, 80)) as talk,
    ):
        talk.ask()
        bed.wait_until(lambda: len(timers()) == 2, "two timers")
        assert all(re.fullmatch(r"1min\d+sec|2min|\d+sec", timer) for timer in timers())


def timers() -> list[str]:
    """When the kernel will look after the TCP connections of this host, as ss(8) shows it."""
    listing = bed.run("ss", "--tcp", "--numeric", "--no-header", "--options")
    return re.findall(r"timer:\(keepalive,([^,]+),", listing)
