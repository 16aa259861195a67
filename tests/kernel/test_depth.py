"""Elements at every level: all of them decide, and chains come and go under others' packets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import bed

ROOT = Path("/sys/fs/cgroup")
DEEPEST = 250  # levels; nf_tables looks no deeper than 255
NAMES = {"proxy": "tproxy", "direct": "origin"}  # and who answers there
# With two more TPROXYs than one, what the map leaves open is told by sets.
THREE = {
    "other": {"port": 4, "mark": 3001, "dns-hijack": {}},
    "another": {"port": 5, "mark": 3002},
    **bed.configuration.FIRST,
}


def line(depth: int) -> list[Path]:
    """A cgroup at each level below /user, each to be decided otherwise than the one above."""
    paths = [ROOT / "user"]
    for number in range(depth - 1):
        paths.append(paths[-1] / list(NAMES)[number % 2])
        paths[-1].mkdir()
    return paths


def chains() -> set[str]:
    return set(re.findall(r"chain (\S+) ", bed.nft_listing("table", "inet", "cgtproxy")))


@pytest.mark.parametrize("tproxies", [bed.configuration.FIRST, THREE], ids=["one", "three"])
def test_elements_at_all_levels_decide(
    tproxies: dict[str, dict[str, Any]], tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    cgroup("user")
    with bed.Daemon(bed.config(bed.endings.RULES, tproxies=tproxies)) as daemon:
        paths = line(DEEPEST)
        bed.wait_until(lambda: len(bed.verdicts()) == DEEPEST - 1, "all elements")
        assert bed.ancestors() == {path.stat().st_ino for path in paths[:-1]}
        assert "cgroups-deep-6" in chains()
        for level in (2, 4, 5, 8, 9, 16, 17, 32, 100, 128, 129, 249, 250):
            app = bed.Cgroup(str(paths[level - 1].relative_to(ROOT)))
            assert bed.paths(app) == bed.everywhere(NAMES[app.directory.name]), level
        for path in reversed(paths[1:]):
            path.rmdir()
        bed.wait_until(lambda: not any("deep" in name for name in chains()), "fewer chains")
        assert bed.ancestors() == set()
        assert "Traceback" not in daemon.output


def test_chains_that_come_and_go_pass_the_packets_of_others(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    cgroup("user")
    flows = bed.flows()
    with bed.Daemon(bed.config(bed.endings.RULES)), bed.Prober(cgroup("proxy"), *flows) as app:
        for depth in (12, 40, 100):
            app.wait_rounds()
            paths = line(depth)
            bed.wait_until(lambda: len(bed.verdicts()) == depth, "all elements")  # noqa: B023
            app.wait_rounds()
            for path in reversed(paths[1:]):
                path.rmdir()
            bed.wait_until(lambda: not any("deep" in name for name in chains()), "fewer chains")
        app.wait_rounds()
    assert {record.outcome.by for record in app.records} == {"tproxy"}
