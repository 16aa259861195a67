"""The built-in server's DNS: fake-ip addresses, whoever asks, and however."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

import bed
from bed import dns
from bed.built_in import NAMES, Start, resolver
from bed.dns import AT, addresses, query

FAKE4, FAKE6 = ip_network("198.18.0.0/15"), ip_network("fc00::/18")


@pytest.mark.parametrize("server", dns.RESOLVERS)
@pytest.mark.parametrize("protocol", ["+notcp", "+tcp"])
def test_queries_are_hijacked_and_answered(
    start_dns: Start, cgroup: bed.MakeCgroup, server: str, protocol: str
) -> None:
    with start_dns():
        app = cgroup("app")
        (host,) = dns.dig(app, protocol, "www.example", "A", server=server).found
        (host6,) = dns.dig(app, protocol, "www.example", "AAAA", server=server).found
        assert ip_address(host) in FAKE4
        assert ip_address(host6) in FAKE6
        for address in (host, host6):
            assert dns.dig(app, protocol, "-x", address, server=server).found == ["www.example."]
        assert addresses(app, ["WWW.Example"]) == [[host]]
        assert addresses(app, ["other.example"]) != [[host]]
        hints = dns.dig(app, protocol, "www.example", "HTTPS", server=server)
        assert (hints.status, hints.found) == ("NOERROR", [])


def test_others_are_not_served_by_it(
    start_dns: Start, cgroup: bed.MakeCgroup, unbound: dns.Unbound
) -> None:
    with start_dns():
        there: dict[str, Any] = {"server": dns.ADDRESS, "port": dns.PORTS["udp"]}
        assert dns.dig(cgroup("other"), "real.example", **there).found == [dns.REAL4]


def test_nonsense_is_answered_or_not_but_never_fatal(
    start_dns: Start, cgroup: bed.MakeCgroup
) -> None:
    noise = random.Random(0)
    with start_dns() as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        app = cgroup("app")
        before, process = addresses(app), resolver(daemon)
        for size in (*range(60), 500, 4096, 9000, 65507):
            for _ in range(20):
                sock.sendto(noise.randbytes(size), AT)
            with socket.create_connection(AT) as stream:
                stream.sendall(noise.randbytes(size))
        assert addresses(app) == before
        assert dns.dig(app, "+tcp", NAMES[0]).found == before[0]
        assert resolver(daemon) == process
        assert "ERROR" not in daemon.output


def test_many_questions_on_one_connection_in_small_pieces(
    start_dns: Start, cgroup: bed.MakeCgroup
) -> None:
    with start_dns(), socket.create_connection(AT) as stream:
        asked = b"".join(b"\0\x1e" + query(number) for number in range(300))
        for start_ in range(0, len(asked), 7):
            stream.send(asked[start_ : start_ + 7])
        stream.shutdown(socket.SHUT_WR)
        answers = stream.makefile("rb").read()
        seen = set()
        while answers:
            size = int.from_bytes(answers[:2], "big")
            seen.add(int.from_bytes(answers[2:4], "big"))
            answers = answers[2 + size :]
        assert seen == set(range(300))


@pytest.mark.parametrize(
    ("descriptors", "told"),
    [(4096, "DNS over TCP is refused"), (100, "the resolver has a problem: .*Too many open files")],
)
def test_more_connections_than_it_takes(
    start_dns: Start, cgroup: bed.MakeCgroup, descriptors: int, told: str
) -> None:
    limit = ("prlimit", f"--nofile={descriptors}:{descriptors}")
    options = {"mode": "fake-ip", "upstream": f"udp://{dns.ADDRESS}:9"}
    with start_dns(options, wrapper=limit) as daemon, ExitStack() as crowd:
        app = cgroup("app")
        for _ in range(600):
            crowd.enter_context(socket.create_connection(AT))
        daemon.wait_line(told)
        assert addresses(app) == addresses(app)
        assert dns.dig(app, "real.example", "MX").status == "SERVFAIL"
        crowd.close()
        bed.wait_until(lambda: dns.dig(app, "+tcp", NAMES[0]).found, "an answer over TCP")
        assert "ERROR" not in daemon.output


def test_answers_come_from_the_address_that_was_asked(
    start_dns: Start, cgroup: bed.MakeCgroup
) -> None:
    with start_dns({"listen": ["0.0.0.0:1053", "[::]:1053"]}):
        for server in ("127.0.0.9", bed.HOST4, bed.PROXY4, "::1", bed.HOST6, bed.PROXY6):
            assert dns.dig(cgroup("other" + server), "a.example", server=server, port=1053).found
