"""The reconciler: what should be in the kernel follows from the configuration and the cgroups.

Events only say what is in doubt. Start, reload, lost events and healing are one path: look,
compare, change. That path is in one file, though it is a few lines longer than others.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Literal

from cgtproxy.cgroup.monitor import open_monitor
from cgtproxy.cgroup.mount import Root, find
from cgtproxy.config.model import Config
from cgtproxy.engine import report
from cgtproxy.engine.coalescer import coalesce
from cgtproxy.engine.goal import Goal
from cgtproxy.errors import CgtproxyError
from cgtproxy.nft.kernel import NfTables
from cgtproxy.nft.kernel import watch as watch_table
from cgtproxy.nft.model import TABLE
from cgtproxy.nft.state import State, apply, diff
from cgtproxy.routing.kernel import Routing, families
from cgtproxy.routing.kernel import watch as watch_routing
from cgtproxy.runtime.backoff import Backoff
from cgtproxy.runtime.event_loop import EventLoop
from cgtproxy.runtime.netlink.socket import NetlinkError

Doubt = Literal["cgroups", "table", "routing"]

STATUS_DELAY = 1.0  # seconds; many changes, one status
FAILURE_DELAY, LONGEST_DELAY = 0.05, 5.0
MENDED_AT_ONCE = 20  # faults in a row; beyond, about one a second
WATCHES_RETRY = 10.0

log = logging.getLogger("cgtproxy")


class Engine:
    """Owns the kernel state from start() to stop(); `on_status` gets a line when it changes."""

    def __init__(self, config: Config, loop: EventLoop, on_status: Callable[[str], None]) -> None:
        self._loop = loop
        self._on_status = on_status
        self._goal = Goal(config)
        self._nft = NfTables()
        self._table_watch = watch_table(self._nft.portid)
        self._routing = Routing()
        self._routing_watch = watch_routing(self._routing.portid)
        self._root: Root = find(config.cgroup_root)
        self._monitor = open_monitor(config.monitor, self._root, self._goal.policy)
        self._seen = State()
        self._backoff = Backoff(FAILURE_DELAY, LONGEST_DELAY, leak=1.0, burst=MENDED_AT_ONCE)
        self._size_warning = report.SizeWarning()
        self._doubts: set[Doubt] = set()
        self._scheduled = self._status_scheduled = self._retrying = False
        self._failure = self._fault = ""

    def start(self) -> None:
        """Bring the kernel to the wanted state, over whatever is there, and keep it so."""
        self._establish()
        self._loop.watch(self._monitor, coalesce(self._cgroups_changed))
        self._loop.watch(self._routing_watch, self._routing_changed)
        if self._nft.owned:
            self._table_watch.close()
            if not self._nft.persistent:
                log.info("our table does not outlive a crash (with Linux 6.9 it does)")
        else:
            self._loop.watch(self._table_watch, self._table_changed)
            log.info("other programs can change our table (Linux 5.12 prevents it): watching it")
        self._check_monitor()

    def reload(self, config: Config) -> None:
        """Go over to another configuration; where that fails everything stays as it was."""
        old_goal, old_monitor, old_root = self._goal, self._monitor, self._root
        goal, root = Goal(config), find(config.cgroup_root)
        monitor = old_monitor
        if (root, config.monitor) != (old_root, old_goal.config.monitor):
            monitor = open_monitor(config.monitor, root, goal.policy)
        else:
            monitor.tree.redecide(goal.policy)
        self._goal, self._monitor, self._root = goal, monitor, root
        try:
            self._establish()
        except CgtproxyError:
            self._goal, self._monitor, self._root = old_goal, old_monitor, old_root
            if monitor is old_monitor:
                monitor.tree.redecide(old_goal.policy)
            else:
                monitor.close()
            raise
        if monitor is not old_monitor:
            self._loop.unwatch(old_monitor)
            old_monitor.close()
            self._loop.watch(monitor, coalesce(self._cgroups_changed))
        self._check_monitor()

    def stop(self) -> None:
        """Remove everything that is ours. The table first: without it nothing gets a mark."""
        self._nft.remove()
        self._routing.remove(self._routing.look())

    def status(self) -> str:
        """One line: what is watched, and what is wrong."""
        tree = self._monitor.tree
        line = f"{tree.size} cgroups, {len(tree.elements)} in the map"
        if self._failure:
            return f"degraded: {self._failure}; {line}"
        if self._monitor.fault:
            return f"degraded: {self._monitor.fault.message}; {line}"
        if self._backoff.exceeded(time.monotonic()):
            return f"degraded: another program keeps undoing our changes; {line}"
        return line

    def _establish(self) -> None:
        """All or nothing. Routing comes before the marks that need it, and goes after them."""
        wanted, seen = self._goal.routing(families()), self._routing.look()
        try:
            self._routing.add(wanted - seen)
            self._commit(everything=True)
        except CgtproxyError:
            self._routing.remove(wanted - seen)
            raise
        try:
            self._routing.remove(seen - wanted)
        except CgtproxyError as error:
            self._failed(error, {"routing"})

    def _commit(self, *, everything: bool = False) -> None:
        """Bring the table to the wanted state in one transaction."""
        tree = self._monitor.tree
        everything |= self._seen.table is None
        touched = None if everything else tree.touched.keys()
        wanted = self._goal.state(tree, touched)
        change = diff(wanted, self._seen, touched)
        if change:
            self._nft.commit(change)
            assert wanted.table is not None
            apply(self._seen, change, wanted.table)
            self._schedule_status()
        report.decisions(tree.decided, self._goal.config.rules)
        report.changed(change, tree.touched, self._goal.config.rules)
        self._size_warning.check(tree)
        tree.decided.clear()
        tree.touched.clear()

    def _cgroups_changed(self) -> None:
        self._monitor.read()
        self._check_monitor()
        self._schedule_status()  # the number of cgroups is part of it
        if "table" in self._doubts:
            return  # is made anew soon, with these
        try:
            self._commit()
        except NetlinkError as error:
            if error.errno == errno.ENOENT:  # somebody was faster than the news of it
                self._doubt("table")
            else:
                self._failed(error, {"table"})

    def _check_monitor(self) -> None:
        if self._monitor.lost:
            self._doubt("cgroups")
        fault = self._monitor.fault
        message = fault.message if fault else ""
        if message != self._fault:
            if fault:
                log.error("%s", fault)
            else:
                log.info("recovered from: %s", self._fault)
            self._fault = message
            self._schedule_status()
        if fault and not self._retrying:
            self._retrying = True
            self._loop.after(WATCHES_RETRY, self._retry_watches)

    def _retry_watches(self) -> None:
        self._retrying = False
        self._doubt("cgroups")

    def _routing_changed(self) -> None:
        if self._routing_watch.read():
            self._doubt("routing")

    def _table_changed(self) -> None:
        if self._table_watch.read():
            self._doubt("table")

    def _doubt(self, doubt: Doubt) -> None:
        """Look again: after what else has come in meanwhile, or later if that happens too often."""
        self._doubts.add(doubt)
        self._schedule(self._backoff.delay(time.monotonic()))

    def _schedule(self, delay: float) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.after(delay, self._reconcile)

    def _reconcile(self) -> None:
        self._scheduled = False
        doubts, self._doubts = self._doubts, set()
        try:
            mended = self._mend(doubts)
        except CgtproxyError as error:
            self._failed(error, doubts)
            return
        if mended:
            self._backoff.failed(time.monotonic())
            log.warning("mended: %s", "; ".join(mended))
        if self._failure:
            log.info("recovered from: %s", self._failure)
            self._failure = ""
        self._check_monitor()
        self._schedule_status()

    def _mend(self, doubts: set[Doubt]) -> list[str]:
        """Look at what is in doubt and put it right; what had been wrong."""
        mended = []
        if "cgroups" in doubts:
            lost = self._monitor.lost
            self._monitor.resync()
            if lost:
                differed = len(self._monitor.tree.decided)
                mended.append(f"inotify events were lost, {differed} cgroups were unknown")
        if "routing" in doubts:
            wanted, seen = self._goal.routing(families()), self._routing.look()
            self._routing.add(wanted - seen)
            self._routing.remove(seen - wanted)
            mended += [f"missing {entry}" for entry in sorted(wanted - seen, key=str)]
        if "table" in doubts:
            self._seen = State()
            mended.append(f"table inet {TABLE} had been changed or deleted")
        self._commit()
        return mended

    def _failed(self, error: CgtproxyError, doubts: set[Doubt]) -> None:
        """Nothing is lost: what is in doubt stays so, and is tried again."""
        now = time.monotonic()
        self._backoff.failed(now)
        self._doubts |= doubts
        if self._failure != error.message:
            self._failure = error.message
            log.error("%s; trying again", error)
        self._schedule(max(FAILURE_DELAY, self._backoff.delay(now)))
        self._schedule_status()

    def _schedule_status(self) -> None:
        if not self._status_scheduled:
            self._status_scheduled = True
            self._loop.after(STATUS_DELAY, self._tell_status)

    def _tell_status(self) -> None:
        self._status_scheduled = False
        self._on_status(self.status())
        if self._monitor.tree.trim():
            self._cgroups_changed()
        if self._backoff.exceeded(time.monotonic()):
            self._schedule_status()  # until it is over
