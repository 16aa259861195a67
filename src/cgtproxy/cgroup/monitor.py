"""What the engine knows of a monitor: whichever runs, it keeps a tree true."""

from __future__ import annotations

from typing import Protocol

from cgtproxy.cgroup.mount import Root
from cgtproxy.cgroup.tree import Policy, Tree
from cgtproxy.config.model import MonitorKind
from cgtproxy.errors import CgtproxyError


class Monitor(Protocol):
    """Knows what there is once it is made; read() takes in what is new.

    `lost` says that news was lost, and resync() mends that. `fault` says why some cgroups are not
    seen, None if all are that this monitor can see; resync() tries again.
    """

    tree: Tree

    @property
    def lost(self) -> bool:
        """Whether news was lost, so that resync() is needed."""

    @property
    def fault(self) -> CgtproxyError | None:
        """Why some cgroups are not watched, None if all are."""

    def fileno(self) -> int:
        """The descriptor, readable when there is something to read()."""

    def read(self) -> None:
        """Bring `tree` up to date with the events that are pending."""

    def resync(self) -> None:
        """Bring `tree` up to date with all that is there."""

    def close(self) -> None:
        """Stop watching."""


def open_monitor(kind: MonitorKind, root: Root, policy: Policy) -> Monitor:
    """Only what the configuration asks for is imported. Raises CgtproxyError."""
    match kind:
        case "inotify":
            from cgtproxy.cgroup.inotify_monitor import InotifyMonitor

            return InotifyMonitor(root, policy)
        case "dbus":
            from cgtproxy.cgroup.dbus.monitor import DbusMonitor

            return DbusMonitor(root, policy)
        case "both":
            from cgtproxy.cgroup.dbus.both import BothMonitor

            return BothMonitor(root, policy)
