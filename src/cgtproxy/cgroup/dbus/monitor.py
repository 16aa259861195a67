"""Keeps a tree like what systemd tells of its units.

systemd only says where to look: what is there, stat(2) says. A path may come before its directory,
and a restarted unit has the same path and another cgroup.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from cgtproxy.cgroup.dbus.conversation import News
from cgtproxy.cgroup.dbus.label import label
from cgtproxy.cgroup.dbus.managers import Managers
from cgtproxy.cgroup.dbus.names import ENDED
from cgtproxy.cgroup.mount import Root
from cgtproxy.cgroup.tree import Cgroup, Policy, Tree, Unit
from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime.event_loop import NestedLoop

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)
START = 5.0  # seconds to wait for everything that lives already
# systemd removes a cgroup after it has told that its unit ended, and tells nothing then.
SECOND_LOOK = 1.0  # seconds


class DbusMonitor:
    """Knows the cgroups of units, with those above them; what is below a unit follows it.

    `fault` says which manager is not heard; the connection is made again without being asked.
    """

    lost = False

    def __init__(self, root: Root, policy: Policy) -> None:
        self._root = root
        self.tree = Tree(policy, root.id(), root.level)
        self._awaited: dict[bytes, Unit] = {}  # units whose directory was not there yet
        self._will_look = False
        self._loop = NestedLoop()
        self._managers = Managers(self._loop, self._take)
        end = time.monotonic() + START
        while not self._managers.settled and (left := end - time.monotonic()) > 0:
            self._loop.turn(left)

    @property
    def fault(self) -> CgtproxyError | None:
        """Which manager is not heard now, None if all are."""
        return self._managers.fault

    def fileno(self) -> int:
        """The descriptor, readable when there is something to read()."""
        return self._loop.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._managers.close()
        self._loop.close()

    def read(self) -> None:
        """Handle what the managers have sent."""
        self._loop.turn()

    def resync(self) -> None:
        """Look again at everything that is known."""
        for cgroup in list(self.tree.root.walk()):
            if cgroup.parent is not None and cgroup.alive:
                self._step(cgroup.parent, cgroup.name)
        for path, unit in list(self._awaited.items()):
            self._look(path, unit)
        self._awaited.clear()  # a path that a user made up must not stay

    def _take(self, news: News) -> None:
        path = self._root.below(news.path)
        if path is None:
            return
        self._look(path, news.unit)
        if not self._will_look:
            self._will_look = True
            self._loop.after(SECOND_LOOK, self._look_again)

    def _look_again(self) -> None:
        self._will_look = False
        self.resync()

    def _look(self, path: bytes, unit: Unit) -> None:
        self._awaited.pop(path, None)
        cgroup = self.tree.root
        for name in filter(None, path.split(b"/")):
            child = self._step(cgroup, name)
            if child is None:
                if unit.state not in ENDED:
                    self._awaited[path] = unit
                return
            cgroup = child
        label(cgroup, unit)

    def _step(self, parent: Cgroup, name: bytes) -> Cgroup | None:
        """Make the tree true at one place; the cgroup that is there."""
        known = parent.children.get(name)
        try:
            status = os.stat(self._root.path + parent.prefix + name, follow_symlinks=False)
        except OSError as error:
            if known is not None and error.errno in GONE:
                self.tree.vanish(known)
                return None
            return known
        if known is not None and known.id != status.st_ino:
            self.tree.vanish(known)
            known = None
        if known is None and stat.S_ISDIR(status.st_mode):
            known = self.tree.appear(parent, name, status.st_ino)
        return known
