"""What leaves for the world, and sockets with addresses of the world."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from .kernel import nft, run
from .network import OUTSIDE
from .probe import REMOTE4, REMOTE6

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


def _end_connections() -> None:
    """Those with remote addresses that earlier tests have left, on both sides: whoever closed first
    may send for minutes what the other side does not acknowledge any more."""
    for where in (), OUTSIDE:
        for remote in (REMOTE4, f"[{REMOTE6}]"):
            run(*where, "ss", "--kill", "--tcp", f"src {remote} or dst {remote}")


@contextmanager
def nothing_leaves() -> Iterator[None]:
    """Fails where a packet for a remote address takes the way into the world."""
    _end_connections()
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
