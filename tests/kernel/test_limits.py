"""What the built-in server does at the limits that are set for it."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import bed
from bed import transfers, upstreams
from bed.built_in import Start, config, processes, tcp
from bed.crowd import Crowd, CrowdServer, Usage, virtual_memory
from bed.daemon import NOBODY
from bed.transfers import transfer
from bed.upstreams import https

ADDRESS = f"127.0.0.1:{upstreams.PORT}"


@pytest.fixture
def world() -> Iterator[CrowdServer]:
    with CrowdServer() as server:
        yield server


def limit(server: bed.Daemon, what: str) -> None:
    """What setrlimit(2) would do in the server's first process, which is nobody's."""
    user = [f"--{which}={NOBODY}" for which in ("reuid", "regid")]
    bed.run("setpriv", *user, "--clear-groups", "prlimit", f"--pid={server.pid}", what)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_memory(start: Start, cgroup: bed.MakeCgroup, world: CrowdServer, protocol: str) -> None:
    """A worker that gets no more of it takes its flows with it, and makes room for the next."""
    with start(config(workers={"count": 1})) as server:
        app = cgroup("app")
        (worker,) = processes(server)
        most = virtual_memory(worker) + (2 << 20)
        resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
        with Crowd(app, protocol, 5000, bed.REMOTE4, patience=10) as crowd:
            crowd.ask()
            server.wait_line(r"worker \d+ ended \(out of memory\), starting another")
            crowd.close()
        assert {outcome.by for outcome in bed.probe(app, *tcp()).values()} == {"origin"}


def test_no_more_processes(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config(workers={"count": 1}), wrapper=bed.NET_ADMIN_ONLY) as server:
        (worker,) = processes(server)
        limit(server, "--nproc=1:")
        os.kill(worker, signal.SIGKILL)
        server.wait_line("cannot start a worker: Resource temporarily unavailable")
        limit(server, "--nproc=100:")
        bed.wait_until(lambda: processes(server), "another worker")
        app = cgroup("app")
        assert {outcome.by for outcome in bed.probe(app, *tcp()).values()} == {"origin"}


def test_a_reload_without_another_process(start: Start, cgroup: bed.MakeCgroup) -> None:
    with start(config(workers={"count": 1}), wrapper=bed.NET_ADMIN_ONLY) as server:
        limit(server, "--nproc=1:")
        server.reload()
        server.wait_line("not reloaded, .*: cannot create a process")
        assert {outcome.by for outcome in bed.probe(cgroup("app"), *tcp()).values()} == {"origin"}


PIPES = str(bed.PROGRAMS / "pipe_hog.py")


def test_no_more_memory_for_pipes(start: Start, cgroup: bed.MakeCgroup) -> None:
    greedy = [*bed.UNPRIVILEGED, sys.executable, "-IS", PIPES]
    with (
        bed.Program(greedy) as user,
        start(config(workers={"count": 1}), wrapper=bed.NET_ADMIN_ONLY) as server,
        transfers.TransferServer(),
    ):
        user.wait_line("^ready$")
        plan = [transfer(3_000_000, 3_000_000, reader=4096), transfer(up=9_000_000)]
        assert transfers.run(cgroup("app"), bed.REMOTE4, plan) == ["ok"] * len(plan)
        server.wait_line("no more than 0 pipes for bulk transfers: this user's pipes take all")


def served(app: bed.Cgroup) -> bool:
    return {outcome.by for outcome in bed.probe(app, *bed.flows()).values()} == {"origin"}


@pytest.mark.parametrize(
    ("scheme", "protocol", "patience"),
    [
        ("direct", "tcp", 1),
        ("socks5", "tcp", 1),
        ("https", "tcp", 1),
        ("direct", "udp", 1),
        ("socks5", "udp", 5),  # it takes two for an association, and one for all answers
    ],
)
def test_descriptors(
    start: Start,
    cgroup: bed.MakeCgroup,
    world: CrowdServer,
    tmp_path: Path,
    scheme: str,
    protocol: str,
    patience: int,
) -> None:
    """Some flows get through, and the others end, or wait in vain."""
    servers: dict[str, tuple[Callable[..., AbstractContextManager[object]], str]] = {
        "direct": (lambda *_: nullcontext(), "direct://"),
        "socks5": (lambda home, at: upstreams.sing_box(home, at, "socks"), f"socks5://{ADDRESS}"),
        "https": (https, f"https://{ADDRESS}?ca-file={tmp_path}/cert.pem"),
    }
    upstream, url = servers[scheme]
    text = config(url, udp="direct", workers={"count": 1, "udp-timeout": 1})
    with (
        upstream(cgroup("upstream"), tmp_path),
        start(text, wrapper=["prlimit", "--nofile=200:200"]) as server,
    ):
        (worker,) = processes(server)
        before = Usage.of(worker).descriptors
        app = cgroup("app")
        with Crowd(app, protocol, 300, bed.REMOTE4, patience=patience) as crowd:
            outcomes = crowd.ask()
            assert 0 < outcomes["right"] < 300
            assert "wrong" not in outcomes
            crowd.close()
        server.wait_line("Too many open files")
        # Those who gave up may still wait to be accepted, and take descriptors once more.
        bed.wait_until(lambda: served(app), "all to be served again", timeout=30)
        bed.wait_until(lambda: Usage.of(worker).descriptors == before, "the end", timeout=30)
        assert "Traceback" not in server.output
        assert " failed: " not in server.output, "that is not the upstream's fault"
