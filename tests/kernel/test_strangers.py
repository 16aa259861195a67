"""An app hears from somebody who begins, as far as conntrack knows."""

from __future__ import annotations

import socket
import sys

import pytest

import bed
from kernel.test_strays import FAMILY, PORT, REMOTE, TPROXIES, VERSIONS, nothing_leaves, transparent

APP = """
import socket, sys
host, family = sys.argv[1], int(sys.argv[2])
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.sendto(b"hello", (host, 80))
    _, stranger = sock.recvfrom(100)
    for word in (b"nice", b"to", b"meet you"):
        sock.sendto(word, stranger)
"""


@pytest.mark.parametrize("port", [80, 7777], ids=["too late", "first"])
@VERSIONS
def test_what_is_sent_then_is_redirected(cgroup, version, port):
    """They write when conntrack has forgotten that the app wrote to them, or before it does."""
    argv = [sys.executable, "-c", APP, REMOTE[version], str(int(FAMILY[version]))]
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
