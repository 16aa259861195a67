"""The system's manager and those of the users who are logged in."""

from __future__ import annotations

from collections.abc import Callable

from cgtproxy.cgroup.dbus.conversation import News
from cgtproxy.cgroup.dbus.link import Link
from cgtproxy.cgroup.dbus.names import ENDED, user_of
from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime.event_loop import EventLoop

SYSTEM_BUS = "/run/dbus/system_bus_socket"
# A user's bus refuses root; his manager's own socket does not. pam_systemd(8) has the directory.
PRIVATE = "/run/user/{}/systemd/private"


class Managers:
    """Tells `tell` the news of all of them."""

    def __init__(self, loop: EventLoop, tell: Callable[[News], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._users: dict[int, Link] = {}
        self._system = Link(loop, SYSTEM_BUS, "systemd", None, self._take)

    @property
    def settled(self) -> bool:
        """Whether all that is known to live has been told."""
        return all(link.settled for link in self._links())

    @property
    def fault(self) -> CgtproxyError | None:
        """Why one of them is not heard now, None if all are."""
        return next((link.fault for link in self._links() if link.fault), None)

    def close(self) -> None:
        """End all connections."""
        for link in self._links():
            link.close()

    def _links(self) -> list[Link]:
        return [self._system, *self._users.values()]

    def _take(self, news: News) -> None:
        self._tell(news)
        uid = user_of(news.unit.name)
        if uid is None:
            return
        if news.unit.state in ENDED:
            if link := self._users.pop(uid, None):
                link.close()
        elif news.unit.state == "active" and uid not in self._users:

            def take(told: News) -> None:
                # A user may say anything, but only of what is his.
                if told.path.startswith(news.path + b"/"):
                    self._tell(told)

            address, who = PRIVATE.format(uid), f"the manager of user {uid}"
            self._users[uid] = Link(self._loop, address, who, uid, take)
