"""`cgtproxy clear`: what an instance that was killed has left in force, for a next one."""

from __future__ import annotations

from cgtproxy.errors import AlreadyRunningError
from cgtproxy.nft.kernel import NfTables
from cgtproxy.routing.kernel import Routing
from cgtproxy.runtime import lock


def clear() -> int:
    """Raises AlreadyRunningError where that next one runs: it would put all back at once."""
    held = lock.take()
    if held is None:
        raise AlreadyRunningError("another user is running cgtproxy", "stop it first")
    remove()
    held.close()
    print("no table, ip rules or routes of cgtproxy are left")
    return 0


def remove() -> None:
    """The table, ip rules and routes, whoever made them."""
    NfTables().remove()
    routing = Routing()
    routing.remove(routing.look())
