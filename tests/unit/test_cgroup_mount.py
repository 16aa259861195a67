"""Where cgroup v2 is, told from the mount tables of real systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgtproxy.cgroup.mount import Mount, Root, choose, find, parse
from cgtproxy.errors import CgtproxyError

UNIFIED = b"""\
22 28 0:20 / /sys rw,nosuid,noexec shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw,nosuid,noexec shared:14 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
31 22 0:27 / /sys/fs/cgroup rw,nosuid,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate
32 22 0:28 / /sys/fs/bpf rw,nosuid,noexec shared:11 - bpf bpf rw,mode=700
"""
HYBRID = b"""\
29 22 0:25 / /sys/fs/cgroup ro,nosuid,noexec shared:9 - tmpfs tmpfs ro,size=4096k,mode=755
30 29 0:26 / /sys/fs/cgroup/unified rw,nosuid,noexec shared:10 - cgroup2 cgroup2 rw,nsdelegate
31 29 0:27 / /sys/fs/cgroup/systemd rw,nosuid,noexec shared:11 - cgroup cgroup rw,xattr,name=systemd
34 29 0:31 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid shared:15 - cgroup cgroup rw,net_cls,net_prio
"""
LEGACY = b"""\
29 22 0:25 / /sys/fs/cgroup ro,nosuid,noexec shared:9 - tmpfs tmpfs ro,mode=755
31 29 0:27 / /sys/fs/cgroup/systemd rw,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
"""
# docker run --cgroupns=host: the container's own cgroup, seen from the host's root
CONTAINER_HOST = b"""\
700 600 0:80 / / rw,relatime master:200 - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
711 705 0:27 /system.slice/docker-4f1a.scope /sys/fs/cgroup ro,nosuid,noexec - cgroup2 cgroup ro
"""
# docker run --cgroupns=private
CONTAINER_PRIVATE = b"""\
711 705 0:27 / /sys/fs/cgroup ro,nosuid,noexec - cgroup2 cgroup ro,nsdelegate
"""
# unshare --cgroup without a new mount
FOREIGN = b"""\
31 22 0:27 /../../.. /sys/fs/cgroup rw,nosuid,noexec shared:9 - cgroup2 cgroup2 rw
"""
ODD = rb"""1 2 0:27 / /mnt/a\040b\134c\011d rw shared:9 master:2 propagate_from:1 - cgroup2 none rw
32 22 0:27 /a\012b/..c /mnt/x rw - cgroup2 none rw
33 22 0:99 / /mnt/cgroup2 rw - fuse.cgroup2 cgroup2 rw
34 22 0:98 / /mnt/y rw - tmpfs cgroup2 rw,cgroup2
"""


@pytest.mark.parametrize(
    ("text", "mounts"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(UNIFIED, [Mount("0:27", b"/", b"/sys/fs/cgroup")], id="unified"),
        pytest.param(HYBRID, [Mount("0:26", b"/", b"/sys/fs/cgroup/unified")], id="hybrid"),
        pytest.param(LEGACY, [], id="v1 alone"),
        pytest.param(
            CONTAINER_HOST,
            [Mount("0:27", b"/system.slice/docker-4f1a.scope", b"/sys/fs/cgroup")],
            id="container",
        ),
        pytest.param(
            ODD,
            [Mount("0:27", b"/", b"/mnt/a b\\c\td"), Mount("0:27", b"/a\nb/..c", b"/mnt/x")],
            id="escapes and optional fields",
        ),
        pytest.param(
            b"31 22 0:27 / /mnt/a\rb\x0bc rw - cgroup2 none rw\n",
            [Mount("0:27", b"/", b"/mnt/a\rb\x0bc")],
            id="line breaks that are none",
        ),
        pytest.param(
            b"31 22 0:27 / /mnt/\xff rw - cgroup2 none rw\n",
            [Mount("0:27", b"/", b"/mnt/\xff")],
            id="not UTF-8",
        ),
    ],
)
def test_parse(text: bytes, mounts: list[Mount]) -> None:
    assert parse(text) == mounts


BIND = UNIFIED + b"99 28 0:27 /user.slice /mnt/users rw - cgroup2 cgroup2 rw\n"
TWICE = UNIFIED + b"99 28 0:27 / /mnt/again rw - cgroup2 cgroup2 rw\n"
OVER = BIND + b"98 31 0:27 /system.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
DOTS = b"31 22 0:27 /..a/b /mnt rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("text", "configured", "path_and_level"),
    [
        (UNIFIED, None, (b"/sys/fs/cgroup", 0)),
        (HYBRID, None, (b"/sys/fs/cgroup/unified", 0)),
        (CONTAINER_HOST, None, (b"/sys/fs/cgroup", 2)),
        (CONTAINER_PRIVATE, None, (b"/sys/fs/cgroup", 0)),
        (TWICE, None, (b"/sys/fs/cgroup", 0)),
        (FOREIGN + TWICE, None, (b"/sys/fs/cgroup", 0)),
        (OVER, None, (b"/sys/fs/cgroup", 1)),
        (DOTS, None, (b"/mnt", 2)),
        (UNIFIED, "/sys/fs/cgroup", (b"/sys/fs/cgroup", 0)),
        (UNIFIED, "/sys/fs/cgroup/", (b"/sys/fs/cgroup", 0)),
        (UNIFIED, "/sys/fs/cgroup/user.slice/a", (b"/sys/fs/cgroup/user.slice/a", 2)),
        (BIND, "/mnt/users", (b"/mnt/users", 1)),
        (BIND, "/mnt/users/user-1000.slice", (b"/mnt/users/user-1000.slice", 2)),
        (OVER, "/sys/fs/cgroup/a", (b"/sys/fs/cgroup/a", 2)),
        (CONTAINER_HOST, "/sys/fs/cgroup/a", (b"/sys/fs/cgroup/a", 3)),
    ],
)
def test_choose(text: bytes, configured: str | None, path_and_level: tuple[bytes, int]) -> None:
    chosen = choose(configured, parse(text), "0:27")
    assert (chosen.path, chosen.level) == path_and_level


@pytest.mark.parametrize(
    ("text", "configured", "device", "message"),
    [
        (LEGACY, None, "", "no cgroup v2 file system is mounted; boot with"),
        (FOREIGN, None, "", "no cgroup v2 file system is mounted"),
        (FOREIGN, "/sys/fs/cgroup", "0:27", "outside this process's cgroup namespace; mount"),
        (UNIFIED, "/tmp", "254:1", "/tmp is not in a cgroup v2 file system; .*/sys/fs/cgroup"),
        (UNIFIED, "/sys/fs/cgroupx", "0:27", "is not in a cgroup v2 file system"),
        (UNIFIED, "/sys/fs/cgroup/tmpfs", "0:99", "is not in a cgroup v2 file system"),
        (HYBRID, "/sys/fs/cgroup", "0:25", "it is mounted at /sys/fs/cgroup/unified"),
    ],
)
def test_nothing_to_choose(text: bytes, configured: str | None, device: str, message: str) -> None:
    with pytest.raises(CgtproxyError, match=message):
        choose(configured, parse(text), device)


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CgtproxyError, match="nothing-here: No such file or directory"):
        find(str(tmp_path / "nothing-here"))


def test_a_link_to_a_directory_of_another_file_system(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc")
    with pytest.raises(CgtproxyError, match="/proc is not in a cgroup v2 file system"):
        find(str(link))


@pytest.mark.parametrize(
    ("text", "configured", "cgroup"),
    [
        (UNIFIED, None, b"/"),
        (UNIFIED, "/sys/fs/cgroup/a/b", b"/a/b"),
        (BIND, "/mnt/users", b"/user.slice"),
        (BIND, "/mnt/users/a", b"/user.slice/a"),
        (CONTAINER_HOST, None, b"/system.slice/docker-4f1a.scope"),
    ],
)
def test_which_cgroup_the_root_shows(text: bytes, configured: str | None, cgroup: bytes) -> None:
    assert choose(configured, parse(text), "0:27").cgroup == cgroup


@pytest.mark.parametrize(
    ("root", "cgroup", "below"),
    [
        (b"/", b"/a", b"/a"),
        (b"/", b"/", b"/"),
        (b"/a", b"/a", b"/"),
        (b"/a", b"/a/b/c", b"/b/c"),
        (b"/a", b"/ab", None),
        (b"/a/b", b"/a", None),
    ],
)
def test_paths_below_the_root(root: bytes, cgroup: bytes, below: bytes | None) -> None:
    assert Root(b"/mnt", root.count(b"/"), root).below(cgroup) == below
