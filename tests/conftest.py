"""Rules that hold for all tests, and the world of those that run in the bed."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

import bed

# A busy machine is no fault of the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


# What takes long begins first, so that in the end no bed is left alone with it.
LONGEST_FIRST = ("systemd", "kernel")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


def _no_skip_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a test that did not run is a failure: nobody is there to notice the "s"."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip_in_ci(report)
    return report


@pytest.fixture(scope="session")
def origin() -> Iterator[bed.Origin]:
    """The outside world; answers "origin" on these ports at every address that is not local."""
    if not bed.inside():
        pytest.fail(
            "this test changes nftables, routing and cgroups, so it runs in the bed only: "
            "sudo dev/test FILE, or sudo tests/bed/run .venv/bin/pytest FILE",
            pytrace=False,
        )
    with bed.Origin(53, 80, 443) as server:
        yield server


@pytest.fixture(scope="session")
def tproxy_server(origin: bed.Origin) -> Iterator[bed.Responder]:
    """A TPROXY server of our own, on bed.TPROXY_PORT in the cgroup /tproxy-server: "tproxy"."""
    with (
        bed.Cgroup("tproxy-server") as cgroup,
        bed.Responder("tproxy", bed.TPROXY_PORT, cgroup=cgroup) as server,
    ):
        yield server
