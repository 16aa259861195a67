"""The outside world: a second network namespace behind a veth pair, where the origin serves."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .cgroup import Cgroup
from .kernel import nft, run
from .program import Program

HOST4, HOST6 = "10.66.0.1", "fd66::1"
ORIGIN4, ORIGIN6 = "10.66.0.2", "fd66::2"
# More addresses of the host, from which only the real proxy server talks to the origin.
PROXY4, PROXY6 = "10.66.0.3", "fd66::3"
HOST_MAC, ORIGIN_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
TPROXY_PORT, SING_BOX_PORT = 10001, 10002
NAMESPACE = "origin"
OUTSIDE = ("nsenter", f"--net=/run/netns/{NAMESPACE}", "--")  # runs a program out there
RESPONDER = Path(__file__).parent / "programs" / "responder.py"


class Responder(Program):
    """A server on this host, on TCP and UDP, IPv4 and IPv6, that answers NAME to everybody.

    Its sockets are transparent, so that it also receives what TPROXY redirects to its ports.
    """

    def __init__(
        self,
        name: str,
        *ports: int,
        cgroup: Cgroup | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        server = [sys.executable, "-IS", str(RESPONDER), name, *map(str, ports)]
        super().__init__([*wrapper, *server], cgroup=cgroup)

    def start(self) -> Responder:
        super().start()
        self.wait_line("^ready$")
        return self


class Origin(Responder):
    """Makes the outside world; whatever is sent there, to any address, is answered "origin"."""

    def __init__(self, *ports: int) -> None:
        super().__init__("origin", *ports, wrapper=OUTSIDE)

    def start(self) -> Origin:
        build()
        super().start()
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        code = super().stop(how)
        run("ip", "netns", "delete", NAMESPACE)  # and with it the veth pair
        return code


@contextmanager
def sealed(cgroup: Cgroup) -> Iterator[Cgroup]:
    """Let what this cgroup sends reach the world through a TPROXY server, or not at all."""
    hook = "type filter hook output priority 0"
    sender = f'socket cgroupv2 level 1 "{cgroup.path[1:]}"'
    unmarked = 'oifname "uplink" meta mark 0 fib daddr type != local'  # a hijacked query is local
    nft(f"table inet seal {{ chain outward {{ {hook}; {sender} {unmarked} drop; }}; }}")
    try:
        yield cgroup
    finally:
        nft("delete table inet seal")


def build() -> None:
    inside = ("-n", NAMESPACE)
    run("ip", "netns", "add", NAMESPACE)
    peer = ("peer", "host", "address", ORIGIN_MAC, "netns", NAMESPACE)
    run("ip", "link", "add", "uplink", "address", HOST_MAC, "type", "veth", *peer)
    run("ip", *inside, "link", "set", "lo", "up")
    _set_up("uplink", f"{HOST4}/24", f"{HOST6}/64")
    _set_up("host", f"{ORIGIN4}/24", f"{ORIGIN6}/64", *inside)
    # Deprecated, so that only who binds to it uses it (RFC 6724, section 5, rule 3).
    proxy = ("dev", "uplink", "preferred_lft", "0")
    run("ip", "address", "add", f"{PROXY4}/24", *proxy)
    run("ip", "address", "add", f"{PROXY6}/64", *proxy, "nodad")
    # A fresh IPv6 address takes up to a second to answer neighbour solicitations.
    run("ip", "neighbour", "add", ORIGIN6, "lladdr", ORIGIN_MAC, "dev", "uplink")
    for host6 in (HOST6, PROXY6):
        run("ip", *inside, "neighbour", "add", host6, "lladdr", HOST_MAC, "dev", "host")
    for family, gateway in (("-4", ORIGIN4), ("-6", ORIGIN6)):
        run("ip", family, "route", "add", "default", "via", gateway)
        # Not in the table "local", whose default route would also swallow the way back.
        local = ("route", "add", "local", "default", "dev", "lo", "table", "main")
        run("ip", *inside, family, *local)


def _set_up(link: str, ip4: str, ip6: str, *where: str) -> None:
    run("ip", *where, "address", "add", ip4, "dev", link)
    run("ip", *where, "address", "add", ip6, "dev", link, "nodad")
    run("ip", *where, "link", "set", link, "up")
