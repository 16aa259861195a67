"""A client that asks the resolver for too much, and another that asks for little."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import bed
from bed import dns
from bed.built_in import Start
from bed.dns import AT, query
from cgtproxy.proxy.dns.forward import MAX_WAITING
from cgtproxy.proxy.dns.service import MAX_CONNECTIONS

UPSTREAM = ("127.0.0.1", 5311)
GREEDY, MODEST = ("127.0.0.2", 0), ("127.0.0.3", 0)
SERVFAIL, RCODE = 2, 0xF


def datagrams(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(bed.waiting.TIMEOUT)
    sock.bind(address)
    return sock


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """An upstream that answers nothing by itself."""
    with datagrams(UPSTREAM) as sock:
        yield sock


def test_questions_that_wait_for_an_upstream(start_dns: Start, silent: socket.socket) -> None:
    options = {"mode": "forward", "upstream": "udp://{}:{}".format(*UPSTREAM)}
    with start_dns(options) as daemon, datagrams(GREEDY) as greedy, datagrams(MODEST) as modest:
        daemon.wait_line("workers serve")
        for number in range(MAX_WAITING):
            greedy.sendto(query(number, b"www%d" % number), AT)
        modest.sendto(query(1, b"modest"), AT)
        question = b""
        while b"modest" not in question:
            question, resolver = silent.recvfrom(4096)
        answer = question[:2] + b"\x81\x80" + question[4:]
        silent.sendto(answer, resolver)
        assert modest.recv(4096) == b"\0\1" + answer[2:]
        assert greedy.recv(4096)[3] & RCODE == SERVFAIL
        daemon.wait_line("DNS queries are refused: 500 of 127.0.0.2 and 0 of others wait")


def test_connections(start_dns: Start, cgroup: bed.MakeCgroup) -> None:
    with start_dns() as daemon, ExitStack() as crowd:
        daemon.wait_line("workers serve")
        for _ in range(MAX_CONNECTIONS + 1):
            crowd.enter_context(socket.create_connection(AT, source_address=GREEDY))
        daemon.wait_line("DNS over TCP is refused: 250 of 127.0.0.2 and 0 of others are open")
        at: dict[str, Any] = {"server": AT[0], "port": AT[1]}
        assert dns.dig(cgroup("other"), "+tcp", "-b", MODEST[0], "www.example", **at).found
