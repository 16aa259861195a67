"""The table belongs to the daemon; where the kernel cannot see to that, the daemon does."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

import bed

OWNER, NOTHING = "2", "0"
DNS = {"first": {**bed.configuration.FIRST["first"], "dns-hijack": {}}}
VANDALISM = {
    "flush": "flush ruleset",
    "delete": "delete table inet cgtproxy",
    "element": "delete element inet cgtproxy cgroup-vmap {{ {key} }}",
    "opposite": 'add element inet cgtproxy cgroup-vmap {{ "other" : drop }}',
    "rules": "flush chain inet cgtproxy cgroups",
    "chain": "flush chain inet cgtproxy guard; delete chain inet cgtproxy guard",
    "insert": "insert rule inet cgtproxy output accept",
    "another": "add chain inet cgtproxy another",
}


def older_kernel(flags: str, **options: Any) -> bed.Daemon:
    return bed.Daemon(bed.config(tproxies=DNS), program=(bed.OLDER_KERNEL, flags), **options)


def listing() -> list[str]:
    return sorted(bed.nft_listing().splitlines())


@pytest.mark.parametrize("what", VANDALISM)
@pytest.mark.parametrize("flags", [None, OWNER])
def test_owned_nobody_else_can_change_it(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, what: str, flags: str | None
) -> None:
    app, _ = cgroup("proxy"), cgroup("other")
    with bed.Daemon(bed.config(tproxies=DNS)) if flags is None else older_kernel(flags) as daemon:
        before = listing()
        with bed.Prober(app, *bed.flows()) as prober:
            prober.wait_rounds(2)
            script = VANDALISM[what].format(key='"proxy"')
            subprocess.run(["nft", script], capture_output=True, check=False)
            prober.wait_rounds(2)
        assert {record.outcome.by for record in prober.records} == {"tproxy"}
        assert listing() == before
        assert "mended" not in daemon.output


@pytest.mark.parametrize("what", VANDALISM)
def test_not_owned_it_is_mended(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, what: str
) -> None:
    app, _ = cgroup("proxy"), cgroup("other")
    with older_kernel(NOTHING) as daemon:
        before = listing()
        bed.nft(VANDALISM[what].format(key='"proxy"'))
        daemon.wait_line("mended")
        assert listing() == before
        assert bed.paths(app) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("drop"), timeout=0.5) == bed.DROPPED
    (line,) = (line for line in daemon.lines if "mended" in line)
    assert "WARNING mended: table inet cgtproxy had been changed or deleted" in line


def test_not_owned_nobody_elses_table_matters(tproxy_server: bed.Responder) -> None:
    with older_kernel(NOTHING) as daemon:
        bed.nft("""
            table inet theirs {
                chain c { type filter hook output priority 0; }
            }
            table ip cgtproxy {
            }""")
        bed.nft("delete table inet theirs; delete table ip cgtproxy")
        bed.nft("flush ruleset")  # a barrier: our own table, at last
        daemon.wait_line("mended")
    assert len([line for line in daemon.lines if "mended" in line]) == 1


def test_not_owned_one_change_is_mended_once_however_long_it_is(
    tproxy_server: bed.Responder,
) -> None:
    """The daemon reads the first of its announcements while the kernel makes the last."""
    chains = "\n".join(f"add chain inet cgtproxy strange{n}" for n in range(5000))
    with older_kernel(NOTHING) as daemon:
        for _ in range(5):
            bed.nft(chains)
            bed.wait_until(lambda: "strange" not in bed.nft_listing(), "our own table")
        daemon.reload()
    assert len([line for line in daemon.lines if "mended" in line]) == 5


def test_the_kernel_removes_an_owned_table_that_does_not_persist(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    app = cgroup("proxy")
    with older_kernel(OWNER) as daemon:
        daemon.kill()
        bed.wait_until(lambda: "cgtproxy" not in bed.nft_listing(), "the table to be gone")
        assert bed.paths(app) == bed.everywhere("origin")
        daemon.start()
        assert bed.paths(app) == bed.everywhere("tproxy")


def test_not_owned_it_is_taken_over_all_the_same(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    app = cgroup("proxy")
    with older_kernel(NOTHING) as daemon, bed.Prober(app, *bed.flows()) as prober:
        daemon.kill()
        prober.wait_rounds(3)
        daemon.start()
        prober.wait_rounds(3)
    assert {record.outcome.by for record in prober.records} == {"tproxy"}
