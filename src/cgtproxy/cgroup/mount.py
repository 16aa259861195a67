"""Where cgroup v2 is mounted, and which level of the hierarchy a directory of it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cgtproxy.errors import CgtproxyError

MOUNTINFO = Path("/proc/self/mountinfo")
PREFERRED = (b"/sys/fs/cgroup/unified", b"/sys/fs/cgroup")


class Mount(NamedTuple):
    """One line of /proc/PID/mountinfo (proc(5)): `root` is what of the file system is mounted."""

    device: str
    root: bytes
    point: bytes


class Root(NamedTuple):
    """The directory to watch; `cgroup` is what it shows, `level` that one's depth.

    Both are relative to the cgroup namespace's root, which others, such as systemd, count from.
    """

    path: bytes
    level: int
    cgroup: bytes = b"/"

    def id(self) -> int:
        """The root cgroup's id. Raises CgtproxyError."""
        try:
            return os.stat(self.path).st_ino
        except OSError as error:
            raise CgtproxyError(
                f"cannot read cgroup-root {os.fsdecode(self.path)}: {error.strerror}"
            ) from error

    def below(self, cgroup: bytes) -> bytes | None:
        """A cgroup's path relative to this root, None if it is outside."""
        if self.cgroup == b"/":
            return cgroup
        if cgroup == self.cgroup:
            return b"/"
        return cgroup.removeprefix(self.cgroup) if _within(cgroup, self.cgroup) else None


def parse(mountinfo: bytes) -> list[Mount]:
    """The cgroup v2 mounts."""
    mounts = []
    for line in mountinfo.split(b"\n"):  # a mount point may hold any other line break
        fields, _, source = line.partition(b" - ")
        if source.split(b" ")[0] == b"cgroup2":
            _, _, device, root, point = fields.split(b" ")[:5]
            mounts.append(Mount(device.decode(), _unescape(root), _unescape(point)))
    return mounts


def choose(configured: str | None, mounts: Iterable[Mount], device: str = "") -> Root:
    """The root for `cgroup-root`; `device` is MAJOR:MINOR of the configured directory.

    `mounts` are in the order of mounting: of two with one mount point the later hides the other.
    """
    candidates = list(mounts)[::-1]
    if configured is None:
        return _automatic(candidates)
    path = os.path.normpath(os.fsencode(configured))
    inside = [m for m in candidates if m.device == device and _within(path, m.point)]
    if not inside:
        raise CgtproxyError(
            f"cgroup-root {configured} is not in a cgroup v2 file system", _advice(candidates)
        )
    mount = max(inside, key=lambda m: len(m.point))
    if _foreign(mount):
        raise CgtproxyError(
            f"cgroup-root {configured} shows cgroups outside this process's cgroup namespace",
            "mount cgroup2 anew in this namespace, or run in the other",
        )
    return _root(mount, path)


def find(configured: str | None) -> Root:
    """Raises CgtproxyError where there is no such directory or no cgroup v2."""
    try:
        with MOUNTINFO.open("rb") as file:
            mounts = parse(file.read())
        if configured is None:
            return choose(None, [mount for mount in mounts if _visible(mount)])
        configured = os.path.realpath(configured)
        return choose(configured, mounts, _device(os.fsencode(configured)))
    except OSError as error:
        raise CgtproxyError(
            f"cgroup-root {configured or MOUNTINFO}: {error.strerror}", _advice([])
        ) from error


def _root(mount: Mount, path: bytes) -> Root:
    cgroup = os.path.normpath(os.path.join(mount.root, os.path.relpath(path, mount.point)))
    return Root(path, _depth(cgroup), cgroup)


def _automatic(candidates: list[Mount]) -> Root:
    usable = [mount for mount in candidates if not _foreign(mount)]
    if not usable:
        raise CgtproxyError("no cgroup v2 file system is mounted", _advice([]))
    preferred = [mount for point in PREFERRED for mount in usable if mount.point == point]
    mount = (preferred or usable)[0]
    return _root(mount, mount.point)


def _device(path: bytes) -> str:
    number = os.stat(path).st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def _visible(mount: Mount) -> bool:
    """Whether nothing else is mounted over it."""
    try:
        return _device(mount.point) == mount.device
    except OSError:
        return False


def _foreign(mount: Mount) -> bool:
    """Whether it was made in an outer cgroup namespace: cgroup_namespaces(7) shows it so."""
    return (mount.root + b"/").startswith(b"/../")


def _advice(mounts: list[Mount]) -> str:
    if mounts:
        places = ", ".join(os.fsdecode(mount.point) for mount in mounts)
        return f"`cgroup-root: AUTO` finds it; it is mounted at {places}"
    return "boot with systemd.unified_cgroup_hierarchy=1, or `mount -t cgroup2 none /sys/fs/cgroup`"


def _depth(path: bytes) -> int:
    return sum(part not in (b"", b".") for part in path.split(b"/"))


def _within(path: bytes, parent: bytes) -> bool:
    return path == parent or path.startswith(parent.rstrip(b"/") + b"/")


def _unescape(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes((int(match[1], 8),)), field)
