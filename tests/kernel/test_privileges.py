"""What the daemon needs, and what it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import bed

# With a limit of one process its user cannot start another: fork(2) fails.
ALONE = ("prlimit", "--nproc=1:1")


def test_cap_net_admin_is_all_it_needs(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """And it runs no other program, for here it could not; nor could it write to cgroupfs."""
    app = cgroup("proxy")
    with bed.Daemon(bed.config(), wrapper=(*ALONE, *bed.NET_ADMIN_ONLY)) as daemon:
        assert bed.paths(app) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("drop"), timeout=0.5) == bed.DROPPED
        for family in ("-4", "-6"):
            bed.run("ip", family, "rule", "del", "priority", "1000")
            daemon.wait_line(f"mended: missing IPv{family[1]} rule")
        daemon.reload(bed.config({"^/proxy": "direct"}))
        assert bed.paths(app) == bed.everywhere("origin")
        assert daemon.stop() == 0


def test_cgroupfs_may_be_read_only(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    read_only = ("sh", "-c", 'mount -o remount,bind,ro /sys/fs/cgroup && exec "$@"', "sh")
    with bed.Daemon(bed.config(), wrapper=("unshare", "--mount", *read_only)):
        assert bed.paths(cgroup("proxy")) == bed.everywhere("tproxy")


def test_without_the_capability_it_says_so() -> None:
    daemon = bed.Daemon(bed.config())
    ended = bed.cgtproxy("-c", str(daemon.config), wrapper=bed.UNPRIVILEGED)
    assert ended.returncode == 77
    assert "CAP_NET_ADMIN" in ended.stderr


def test_check_works_unprivileged_and_tells_both() -> None:
    good, bad = bed.Daemon(bed.config()), bed.Daemon("version: 1\n")

    def check(
        *arguments: str, wrapper: Sequence[str] = bed.UNPRIVILEGED
    ) -> subprocess.CompletedProcess[str]:
        return bed.cgtproxy("check", *arguments, wrapper=wrapper)

    assert check("config", "-c", str(good.config)).returncode == 0
    assert check("config", "-c", str(bad.config)).returncode == 78
    assert check("permission").returncode == 77
    assert check("permission", wrapper=bed.NET_ADMIN_ONLY).returncode == 0
    assert check("-c", str(good.config)).returncode == 77
    assert check("-c", str(good.config), wrapper=bed.NET_ADMIN_ONLY).returncode == 0
    both = check("-c", str(bad.config))
    assert both.returncode == 78
    assert "CAP_NET_ADMIN" in both.stderr
    assert "route-table" in both.stderr


def test_checks_and_listings_touch_nothing(cgroup: bed.MakeCgroup) -> None:
    cgroup("proxy")
    daemon = bed.Daemon(bed.config())
    for arguments in (["check"], ["rules"], ["config", "schema"]):
        assert bed.cgtproxy(*arguments, "-c", str(daemon.config)).returncode == 0
    assert bed.traces() == []
