"""inotify decides, because it is the faster one; systemd's names are added to what it found."""

from __future__ import annotations

import logging

from cgtproxy.cgroup.dbus.conversation import News
from cgtproxy.cgroup.dbus.label import label
from cgtproxy.cgroup.dbus.managers import Managers
from cgtproxy.cgroup.inotify_monitor import InotifyMonitor
from cgtproxy.cgroup.mount import Root
from cgtproxy.cgroup.tree import Policy
from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime.event_loop import NestedLoop

log = logging.getLogger(__name__)


class BothMonitor:
    """A manager that is not heard is no fault, only a line in the log: no cgroup is missed."""

    def __init__(self, root: Root, policy: Policy) -> None:
        self._root = root
        self._inotify = InotifyMonitor(root, policy)
        self.tree = self._inotify.tree
        self._loop = NestedLoop()
        self._loop.watch(self._inotify, self._inotify.read)
        self._managers = Managers(self._loop, self._take)
        self._deaf = ""

    @property
    def lost(self) -> bool:
        """Whether news was lost, so that resync() is needed."""
        return self._inotify.lost

    @property
    def fault(self) -> CgtproxyError | None:
        """Why inotify does not watch some cgroups, None if it watches all."""
        return self._inotify.fault

    def fileno(self) -> int:
        """The descriptor, readable when there is something to read()."""
        return self._loop.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._managers.close()
        self._loop.close()
        self._inotify.close()

    def read(self) -> None:
        """Decisions are not kept waiting for names."""
        self._inotify.read()
        if self.tree.touched:
            return
        self._loop.turn()
        fault = self._managers.fault
        message = str(fault or "")
        if message != self._deaf:
            self._deaf = message
            log.warning("%s", message or "systemd answers again")

    def resync(self) -> None:
        """Compare everything with the file system."""
        self._inotify.resync()

    def _take(self, news: News) -> None:
        path = self._root.below(news.path)
        if path is None:
            return
        if self.tree.find(path) is None:
            self._inotify.read()  # it came since the last time
        if cgroup := self.tree.find(path):
            label(cgroup, news.unit)
