"""Keeps a tree like the cgroup file system, by inotify(7).

An event only says where to look: what is done follows from what stat(2) says then. So events that
are late, doubled or about something made anew under the same name do no harm.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TypeAlias

from cgtproxy.cgroup.inotify import (
    IN_CREATE,
    IN_DELETE,
    IN_DONT_FOLLOW,
    IN_IGNORED,
    IN_ISDIR,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    Inotify,
)
from cgtproxy.cgroup.mount import Root
from cgtproxy.cgroup.tree import DEEPEST_LEVEL, Cgroup, Policy, Tree
from cgtproxy.errors import CgtproxyError

MASK = IN_CREATE | IN_DELETE | IN_ONLYDIR | IN_DONT_FOLLOW
NO_SUBDIRECTORY = 2  # st_nlink of a kernfs directory is 2 and one more for each subdirectory
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)

UNWATCHED = -1

Place: TypeAlias = tuple[Cgroup, bytes]  # a cgroup and a name below it

log = logging.getLogger(__name__)


class InotifyMonitor:
    """Watches every cgroup below a root and keeps `tree` true.

    `lost` says that events were lost: resync() mends that. `fault` says why some cgroups are not
    watched, None if all are; what is below such a cgroup follows it, and resync() tries again.
    """

    def __init__(self, root: Root, policy: Policy) -> None:
        self._root = root
        self._inotify = Inotify()
        self._watched: dict[int, Cgroup] = {}
        self._complained = False
        self.lost = False
        self.fault: CgtproxyError | None = None
        self.tree = Tree(policy, root.id(), root.level)
        self.resync()

    def fileno(self) -> int:
        """The descriptor, readable when there is something to read()."""
        return self._inotify.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()

    def read(self) -> None:
        """Take in what the events that have come say."""
        places: dict[Place, None] = {}  # a set that keeps the order
        for watch, mask, name in self._inotify.read():
            if mask & IN_Q_OVERFLOW:
                self.lost = True
            elif mask & IN_IGNORED:
                cgroup = self._watched.pop(watch, None)
                if cgroup is not None and cgroup.watch == watch:
                    # Gone, or another of the same name took its place before we watched it.
                    cgroup.watch = UNWATCHED
                    if cgroup.parent is not None:
                        places[cgroup.parent, cgroup.name] = None
                    else:
                        self.lost = True
            elif mask & IN_ISDIR:
                cgroup = self._watched.get(watch)
                if cgroup is not None:
                    places[cgroup, name] = None
        if places:
            self._settle(list(reversed(places)), everything=False)

    def resync(self) -> None:
        """Compare everything with the file system."""
        self.lost = False
        self.fault = None
        root = self.tree.root
        if root.watch == UNWATCHED:
            self._adopt(root, self._watch(self._root.path))
        self._settle([(root, name) for name in self._names(root)], everything=True)

    def _settle(self, pending: list[Place], *, everything: bool) -> None:
        """Make the tree true at these places and, where need be, below them."""
        while pending:
            cgroup = self._look(*pending.pop(), everything)
            if cgroup is not None:
                pending.extend((cgroup, name) for name in self._names(cgroup))

    def _look(self, parent: Cgroup, name: bytes, everything: bool) -> Cgroup | None:
        """Make the tree true at one place; the cgroup there if it may have unknown children."""
        if not parent.alive or parent.level >= DEEPEST_LEVEL:
            return None  # what is deeper follows, so that nobody keeps us busy with nesting
        known = parent.children.get(name)
        path = self._root.path + parent.prefix + name
        try:
            if known is not None and not everything:
                os.lstat(path)  # an event about it: most likely it went
            watch, cgroup_id, has_children = self._examine(path)
        except OSError as error:
            # Where we may not look, an event about what we know can only mean that it went.
            if known is not None and (error.errno in GONE or not everything):
                self._forget(known)
            return None
        if known is not None and known.id != cgroup_id:
            self._forget(known)
            known = None
        new = known is None
        if known is None:
            known = self.tree.appear(parent, name, cgroup_id)
        self._adopt(known, watch)
        return known if (new or everything) and (has_children or known.children) else None

    def _examine(self, path: bytes) -> tuple[int, int, bool]:
        """The watch on what is there, its id, and whether it has children. Raises OSError.

        The watch may be on one whose place it took in between. Then there is an event more of its
        parent, for which it is looked at once more.
        """
        watch = self._watch(path)
        try:
            # After the watch began, so that what comes meanwhile is seen twice, not never.
            status = os.lstat(path)
        except OSError:
            self._inotify.remove(watch)
            raise
        return watch, status.st_ino, status.st_nlink > NO_SUBDIRECTORY

    def _names(self, cgroup: Cgroup) -> set[bytes]:
        """The names below a cgroup, those in the file system and those in the tree."""
        try:
            with os.scandir(self._root.path + cgroup.path) as entries:
                found = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError:
            return set(cgroup.children)  # looking at each tells whether it is gone
        return found | cgroup.children.keys()

    def _watch(self, path: bytes) -> int:
        if self.fault is not None:
            return UNWATCHED
        try:
            return self._inotify.add(path, MASK)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.fault = CgtproxyError(
                    f"no inotify watch left for {os.fsdecode(path)}: cgroups below it follow it",
                    "raise the limit: `sysctl fs.inotify.max_user_watches=1048576`",
                )
            elif error.errno not in GONE:
                # Any user can make his own cgroups unreadable, by the thousand: tell once.
                log.log(
                    logging.DEBUG if self._complained else logging.WARNING,
                    "cannot watch %s (%s): cgroups below it follow it",
                    os.fsdecode(path),
                    error.strerror,
                )
                self._complained = True
        return UNWATCHED

    def _adopt(self, cgroup: Cgroup, watch: int) -> None:
        if watch in (UNWATCHED, cgroup.watch):
            return
        self._unwatch(cgroup)
        cgroup.watch = watch
        self._watched[watch] = cgroup

    def _unwatch(self, cgroup: Cgroup) -> None:
        # kernfs does not end the watch of a directory that is removed: it would hold the inode.
        if self._watched.pop(cgroup.watch, None) is not None:
            self._inotify.remove(cgroup.watch)

    def _forget(self, cgroup: Cgroup) -> None:
        for gone in cgroup.walk():
            self._unwatch(gone)
        self.tree.vanish(cgroup)
