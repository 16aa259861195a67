"""Fixtures of the tests on the real kernel, which run inside `tests/bed/run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bed
from bed.singbox import SingBox


@pytest.fixture(scope="session", autouse=True)
def inside() -> None:
    if not bed.inside():
        pytest.fail(
            "tests/kernel change nftables, routing and cgroups, so they run in the bed only: "
            "sudo dev/test tests/kernel, or sudo tests/bed/run .venv/bin/pytest tests/kernel",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def origin(inside: None) -> Iterator[bed.Origin]:
    """The outside world; answers "origin" on these ports at every address that is not local."""
    with bed.Origin(53, 80, 443) as server:
        yield server


@pytest.fixture(scope="session")
def tproxy_server(inside: None) -> Iterator[bed.Responder]:
    """A TPROXY server of our own, on bed.TPROXY_PORT in the cgroup /tproxy-server: "tproxy"."""
    with (
        bed.Cgroup("tproxy-server") as cgroup,
        bed.Responder("tproxy", bed.TPROXY_PORT, cgroup=cgroup) as server,
    ):
        yield server


@pytest.fixture(autouse=True)
def pristine(inside: None, origin: bed.Origin) -> Iterator[None]:
    """Hold every test to leaving the kernel as it found it, and the next one unharmed."""
    yield
    left = bed.traces()
    bed.reset()
    assert not left


@pytest.fixture
def cgroup() -> Iterator[Callable[[str | bytes], bed.Cgroup]]:
    """Makes a cgroup at the path given, to be removed with all its processes after the test."""
    with ExitStack() as made:
        yield lambda path: made.enter_context(bed.Cgroup(path))


@pytest.fixture
def sing_box(tmp_path: Path) -> Iterator[bed.Program]:
    """sing-box as the TPROXY server on bed.SING_BOX_PORT; the origin sees bed.PROXY4 and PROXY6."""
    with bed.Cgroup("sing-box") as home, SingBox(tmp_path, home) as server:
        yield server
