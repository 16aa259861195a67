"""An app hears from somebody who begins, as far as conntrack knows."""

from __future__ import annotations

import socket
import sys

import pytest

import bed
from bed.uplink import FAMILY, REMOTE, nothing_leaves, transparent

PORT = 10007
TPROXIES = {"first": {"port": PORT, "mark": 3007}}
VERSIONS = pytest.mark.parametrize("version", [4, 6])
APP = str(bed.PROGRAMS / "answering.py")


@pytest.mark.parametrize("port", [80, 7777], ids=["too late", "first"])
@VERSIONS
def test_what_is_sent_then_is_redirected(cgroup: bed.MakeCgroup, version: int, port: int) -> None:
    """They write when conntrack has forgotten that the app wrote to them, or before it does."""
    argv = [sys.executable, APP, REMOTE[version], str(int(FAMILY[version]))]
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        transparent(version, socket.SOCK_DGRAM, ("", PORT)) as server,
        transparent(version, socket.SOCK_DGRAM, (REMOTE[version], port)) as stranger,
        nothing_leaves(),
    ):
        app = cgroup("proxy").spawn(argv)
        address = server.recvfrom(100)[1]
        bed.forget_flows()
        stranger.sendto(b"who are you?", address)
        assert [server.recv(100) for _ in range(3)] == [b"nice", b"to", b"meet you"]
        assert app.wait(10) == 0
