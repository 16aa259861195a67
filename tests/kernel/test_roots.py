"""Where cgroups are to be found: every mount that there may be, and how many can be watched."""

from __future__ import annotations

from typing import Any

import pytest

import bed


def prepared(script: str, *namespaces: str) -> tuple[str, ...]:
    """A prefix that runs a program after `script`, in namespaces of its own."""
    return ("unshare", *(namespaces or ("--mount",)), "sh", "-ec", f'{script}\nexec "$@"', "sh")


ELSEWHERE = "umount /sys/fs/cgroup; mkdir -p /run/elsewhere; mount -t cgroup2 none /run/elsewhere"
HYBRID = """
umount /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/unified /sys/fs/cgroup/memory
mount -t cgroup2 none /sys/fs/cgroup/unified
"""
TWICE = "mkdir -p /run/elsewhere; mount -t cgroup2 none /run/elsewhere"


@pytest.mark.parametrize(
    ("script", "root"),
    [
        (ELSEWHERE, "AUTO"),
        (ELSEWHERE, "/run/elsewhere"),
        (TWICE, "/run/elsewhere"),
        (TWICE, "AUTO"),
        (HYBRID, "AUTO"),
        (HYBRID, "/sys/fs/cgroup/unified"),
        ("ln -sfn /sys/fs/cgroup /run/link", "/run/link"),
    ],
    ids=[
        *("elsewhere-auto", "elsewhere", "second", "second-auto"),
        *("hybrid-auto", "hybrid", "symbolic-link"),
    ],
)
def test_the_whole_hierarchy_wherever_it_is_mounted(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, script: str, root: str
) -> None:
    early = cgroup("early/proxy")
    config = bed.config({"^/(early|late)/proxy": "first"}, cgroup_root=root)
    with bed.Daemon(config, wrapper=prepared(script)):
        assert bed.paths(early) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("late/proxy")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("late/other")) == bed.everywhere("origin")


@pytest.mark.parametrize(
    ("script", "root"),
    [
        ("true", "/sys/fs/cgroup/sub/tree/"),
        ("mkdir -p /run/bound; mount --bind /sys/fs/cgroup/sub/tree /run/bound", "/run/bound"),
        ("mkdir -p /run/bound; mount --bind /sys/fs/cgroup/sub /run/bound", "/run/bound/tree"),
    ],
    ids=["directory", "bind-mount", "in-bind-mount"],
)
def test_a_part_of_the_hierarchy(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, script: str, root: str
) -> None:
    """Patterns see paths below the root; what is outside it is direct."""
    early, outside = cgroup("sub/tree/proxy"), cgroup("proxy")
    with bed.Daemon(bed.config(cgroup_root=root), wrapper=prepared(script)):
        assert bed.paths(early) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("sub/tree/drop/x"), timeout=0.5) == bed.DROPPED
        assert bed.paths(cgroup("sub/proxy")) == bed.everywhere("origin")
        assert bed.paths(outside) == bed.everywhere("origin")


def test_inside_a_cgroup_namespace(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    """As in a container: its root is not the host's, and nf_tables counts levels from there."""
    home, early = cgroup("pod/container"), cgroup("pod/container/proxy")
    remounted = prepared(
        "umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup", "--cgroup", "--mount"
    )
    config = bed.config({"^/drop": "drop", "^/$": "direct", "^/proxy": "first"})
    with bed.Daemon(config, cgroup=home, wrapper=remounted):
        assert bed.paths(early) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("pod/container/drop"), timeout=0.5) == bed.DROPPED
        assert bed.paths(cgroup("proxy")) == bed.everywhere("origin")
        assert bed.paths(cgroup("pod/proxy")) == bed.everywhere("origin")


def test_the_root_of_a_cgroup_namespace_is_decided_too(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    home = cgroup("pod/container")
    remounted = prepared(
        "umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup", "--cgroup", "--mount"
    )
    with bed.Daemon(bed.config({".": "first"}), cgroup=home, wrapper=remounted):
        assert bed.paths(cgroup("pod/container/a/b")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("other")) == bed.everywhere("origin")


def test_cgroups_of_an_outer_namespace_are_refused(cgroup: bed.MakeCgroup) -> None:
    daemon = bed.Daemon(bed.config(cgroup_root="/sys/fs/cgroup"), cgroup=cgroup("pod"))
    wrapper = ("sh", "-c", 'echo 0 >/sys/fs/cgroup/pod/cgroup.procs; exec "$@"', "sh")
    ended = bed.cgtproxy(
        "-c", str(daemon.config), wrapper=(*wrapper, *prepared("true", "--cgroup"))
    )
    assert ended.returncode == 69
    assert "outside this process's cgroup namespace; mount cgroup2 anew" in ended.stderr


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("/proc", "/proc is not in a cgroup v2 file system; `cgroup-root: AUTO` finds it"),
        ("/sys/fs/cgroup/absent", "cgroup-root /sys/fs/cgroup/absent: No such file"),
    ],
)
def test_a_root_that_is_none_is_an_error_that_says_so(root: str, why: str) -> None:
    daemon = bed.Daemon(bed.config(cgroup_root=root))
    ended = bed.cgtproxy("-c", str(daemon.config))
    assert ended.returncode == 69
    assert why in ended.stderr


def limited(limit: str, number: int) -> Any:
    """In a user namespace, whose limits are its own, so that nobody else runs into them."""
    script = f"ip link set lo up; echo {number} >/proc/sys/user/{limit}"
    return prepared(script, "--user", "--map-root-user", "--net")


def test_no_inotify_instance_left() -> None:
    daemon = bed.Daemon(bed.config())
    limit = limited("max_inotify_instances", 0)
    ended = bed.cgtproxy("-c", str(daemon.config), wrapper=limit)
    assert ended.returncode == 69
    assert "cannot use inotify" in ended.stderr
    assert "sysctl fs.inotify.max_user_instances" in ended.stderr


def test_too_few_inotify_watches(cgroup: bed.MakeCgroup) -> None:
    """Told, and endured: what is seen is decided. With more watches it sees all again."""
    for number in range(10):
        cgroup(f"deep{number}/drop")
    config = bed.config({"drop": "drop"})
    with bed.Daemon(config, wrapper=limited("max_inotify_watches", 5)) as daemon:
        daemon.wait_line("ERROR .*no inotify watch left for .*; raise the limit: `sysctl ")
        daemon.wait_notified("STATUS=degraded: no inotify watch left for.*")
        late = cgroup("late-drop")
        daemon.wait_line("/late-drop: drop")  # the root was the first to be watched
        enter = ("nsenter", f"--target={daemon.pid}", "--user", "--preserve-credentials")
        hidden = cgroup("late-drop/direct/drop")
        raise_limit = "echo 1000 >/proc/sys/user/max_inotify_watches"
        bed.run(*enter, "sh", "-c", raise_limit)
        daemon.wait_notified(r"STATUS=\d+ cgroups.*", since=len(daemon.notified), timeout=30)
        hidden.remove()
        late.remove()
        daemon.wait_line("/late-drop: gone")
        assert sum("ERROR" in line for line in daemon.lines) == 1
