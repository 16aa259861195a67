"""The built-in server's DNS: what reloads, restarts and crashes cost."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import bed
from bed import dns
from bed.built_in import NAMES, Start, config, resolver
from bed.dns import AT, addresses


def test_a_killed_resolver_costs_no_name(start_dns: Start, cgroup: bed.MakeCgroup) -> None:
    with start_dns() as daemon:
        app = cgroup("app")
        before = addresses(app)
        for _ in range(3):
            os.kill(resolver(daemon), signal.SIGKILL)
            assert addresses(app) == before
        daemon.wait_line(r"the resolver \d+ ended \(SIGKILL\), starting another")
        assert addresses(app, ["new.example"])[0] not in before


@pytest.mark.parametrize("end", [bed.Daemon.stop, lambda daemon: daemon.cgroup.kill()])
def test_names_survive_a_restart(
    start_dns: Start, cgroup: bed.MakeCgroup, tmp_path: Path, end: Callable[[bed.Daemon], object]
) -> None:
    app = cgroup("app")
    with start_dns(cgroup=cgroup("daemon")) as daemon:
        before = addresses(app)
        written = tmp_path / "fake-ip.db-wal"
        bed.wait_until(lambda: NAMES[-1].encode() in written.read_bytes(), "the file")
        end(daemon)
    with start_dns():
        assert addresses(app, NAMES[::-1])[::-1] == before


def test_told_to_end_more_than_once_it_still_writes_all_names(
    start_dns: Start, cgroup: bed.MakeCgroup
) -> None:
    """As by a terminal or a service manager, and then by the supervisor."""
    with start_dns() as daemon:
        addresses(cgroup("app"))
        pid = resolver(daemon)
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, signal.SIGTERM)
        daemon.wait_line(rf"the resolver {pid} ended \(exit code 0\)")


def test_a_reload_costs_no_name_and_no_query(start_dns: Start, cgroup: bed.MakeCgroup) -> None:
    with start_dns() as daemon:
        app = cgroup("app")
        before = addresses(app)
        first = resolver(daemon)
        for ttl in range(5):
            daemon.reload(config(dns={"ttl": ttl}))
            assert addresses(app) == before  # dig asks once, and waits
        bed.wait_until(lambda: resolver(daemon) != first, "another resolver")
        assert "starting another" not in daemon.output


def test_a_reload_that_fails_changes_nothing(start_dns: Start, cgroup: bed.MakeCgroup) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken,
        start_dns(program=("-m", "cgtproxy", "proxy")) as server,
    ):
        at: dict[str, Any] = {"server": AT[0], "port": AT[1]}
        before = dns.dig(cgroup("app"), "www.example", **at).found
        taken.bind(("127.0.0.1", 1054))
        server.reload(config(dns={"listen": ["127.0.0.1:1055", "127.0.0.1:1054"]}))
        server.wait_line("cannot listen on 127.0.0.1:1054: Address already in use")
        assert dns.dig(cgroup("other"), "www.example", **at).found == before


def test_another_server_at_the_port(start_dns: Start) -> None:
    with socket.create_server(AT), start_dns() as daemon:
        daemon.wait_line("cannot listen on 127.0.0.1:1053: Address already in use")
