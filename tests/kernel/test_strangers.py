"""An app hears from somebody whom it has not written to: what it sends then is no answer to us."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

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
TIMEOUT = Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout")


def app(home, version):
    argv = [sys.executable, "-c", APP, REMOTE[version], str(int(FAMILY[version]))]
    return home.spawn(argv)


@VERSIONS
def test_somebody_else_writes_first(cgroup, version):
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        transparent(version, socket.SOCK_DGRAM, ("", PORT)) as server,
        transparent(version, socket.SOCK_DGRAM, (REMOTE[version], 7777)) as stranger,
        nothing_leaves(),
    ):
        process = app(cgroup("proxy"), version)
        stranger.sendto(b"who are you?", server.recvfrom(100)[1])
        assert [server.recv(100) for _ in range(3)] == [b"nice", b"to", b"meet you"]
        assert process.wait(10) == 0


@pytest.fixture
def forgetful():
    """conntrack remembers a datagram for a second."""
    before = TIMEOUT.read_text()
    TIMEOUT.write_text("1")
    yield
    TIMEOUT.write_text(before)


@VERSIONS
def test_the_answer_comes_when_the_question_is_forgotten(cgroup, forgetful, version):
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        transparent(version, socket.SOCK_DGRAM, ("", PORT)) as server,
        transparent(version, socket.SOCK_DGRAM, (REMOTE[version], 80)) as answering,
        nothing_leaves(),
    ):
        process = app(cgroup("proxy"), version)
        asker = server.recvfrom(100)[1]
        time.sleep(2)
        answering.sendto(b"sorry for the delay", asker)
        assert [server.recv(100) for _ in range(3)] == [b"nice", b"to", b"meet you"]
        assert process.wait(10) == 0
