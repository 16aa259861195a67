"""What leaves for the world, and sockets with addresses of the world."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from .kernel import nft, run
from .network import OUTSIDE
from .probe import REMOTE4, REMOTE6
from .waiting import wait_until

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
REMOTE = {4: REMOTE4, 6: REMOTE6}
TRANSPARENT = {4: (socket.IPPROTO_IP, socket.IP_TRANSPARENT), 6: (socket.IPPROTO_IPV6, 75)}


def transparent(version: int, kind: int, address: tuple[str, int]) -> closing[socket.socket]:
    sock = socket.socket(FAMILY[version], kind)
    sock.settimeout(10)
    sock.setsockopt(*TRANSPARENT[version], 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    return closing(sock)


def _unfinished() -> list[str]:
    """The TCP connections with remote addresses, on both sides, that may still send something."""
    alive = (
        "ss",
        "--tcp",
        "--numeric",
        "--no-header",
        "state",
        "connected",
        "exclude",
        "time-wait",
    )
    lines = [*run(*alive).splitlines(), *run(*OUTSIDE, *alive).splitlines()]
    return [line for line in lines if any(remote in line for remote in REMOTE.values())]


@contextmanager
def nothing_leaves() -> Iterator[None]:
    """Fails where a packet for a remote address takes the way into the world.

    It first waits for the end of what earlier tests have left.
    """
    wait_until(lambda: not _unfinished(), "earlier connections to end")
    rules = "".join(
        f'oifname "uplink" {family} daddr {remote} counter; '
        for family, remote in (("ip", REMOTE4), ("ip6", REMOTE6))
    )
    nft(f"table inet look {{ chain out {{ type filter hook postrouting priority 0; {rules} }}; }}")
    try:
        yield
        listing = run("nft", "list", "table", "inet", "look")
    finally:
        nft("delete table inet look")
    assert listing.count("counter packets 0 ") == 2, listing
