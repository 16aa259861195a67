"""Fixtures of the tests on the real kernel, which run inside `tests/bed/run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import bed
from bed import dns, transfers
from bed.built_in import Start, config, started
from bed.fake_ip import NAME, REAL
from bed.nameserver import Nameserver
from bed.singbox import SingBox


@pytest.fixture(autouse=True)
def pristine(origin: bed.Origin) -> Iterator[None]:
    """Hold every test to leaving the kernel as it found it, and the next one unharmed."""
    yield
    left = bed.traces()
    bed.reset()
    assert not left


@pytest.fixture
def cgroup() -> Iterator[bed.MakeCgroup]:
    """Makes a cgroup at the path given, to be removed with all its processes after the test."""
    with ExitStack() as made:
        yield lambda path: made.enter_context(bed.Cgroup(path))


@pytest.fixture
def sing_box(tmp_path: Path) -> Iterator[bed.Program]:
    """sing-box as the TPROXY server on bed.SING_BOX_PORT; the origin sees bed.PROXY4 and PROXY6."""
    with bed.Cgroup("sing-box") as home, SingBox(tmp_path, home) as server:
        yield server


@pytest.fixture
def start() -> Start:
    """Starts the built-in server, by hand, beside a manager: `start(text, **options of Daemon)`."""
    return started


@pytest.fixture
def start_dns(tmp_path: Path) -> Start:
    """Starts the daemon with a built-in server that has these options of DNS."""

    def start(
        options: Mapping[str, object] | None = None,
        upstream: str = "direct://",
        *,
        env: Mapping[str, str] | None = None,
        rules: Mapping[str, str] | None = None,
        **keys: Any,
    ) -> bed.Daemon:
        text = config(upstream, rules, dns=options or {})
        return bed.Daemon(text, env={"STATE_DIRECTORY": str(tmp_path), **(env or {})}, **keys)

    return start


@pytest.fixture
def start_fake_ip(tmp_path: Path) -> Start:
    """Starts the daemon with a built-in server that answers with fake-ip addresses."""

    @contextmanager
    def start(
        upstream: str = "direct://", *, home: bed.Cgroup | None = None, **keys: Any
    ) -> Iterator[bed.Daemon]:
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        text = config(upstream, dns={}, **keys)
        with bed.Daemon(text, cgroup=home, env={"STATE_DIRECTORY": str(state)}) as daemon:
            daemon.wait_line("workers serve")
            yield daemon

    return start


@pytest.fixture
def unbound(tmp_path: Path) -> Iterator[dns.Unbound]:
    with dns.Unbound(tmp_path) as server:
        yield server


@pytest.fixture
def nameserver(cgroup: bed.MakeCgroup) -> Iterator[Nameserver]:
    with Nameserver(cgroup("nameserver")) as server:
        yield server


@pytest.fixture
def names(nameserver: Nameserver) -> Nameserver:
    """The name server, which knows NAME."""
    nameserver.tell(NAME, *REAL.values())
    return nameserver


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which there is neither somebody nor somebody who says so."""
    route = [*bed.OUTSIDE, "ip", "route", "{}", "blackhole", "203.0.113.77"]
    bed.run(*[word.format("add") for word in route])
    yield "203.0.113.77"
    bed.run(*[word.format("delete") for word in route])


@pytest.fixture
def server() -> Iterator[transfers.TransferServer]:
    """The far end of the transfers that bed.transfers checks."""
    with transfers.TransferServer() as running:
        yield running
