"""Connections to fake-ip addresses: whoever leads to the destination is given its name."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager

import pytest

import bed
from bed import upstreams
from kernel.test_named_upstreams import nameserver, silent
from kernel.test_proxy import config
from kernel.test_upstreams import ADDRESS, SERVERS

__all__ = ["nameserver", "silent"]

NAME = "host.example"
REAL = {4: bed.REMOTE4, 6: bed.REMOTE6}
PORT = 80
REFUSED = {"tcp": "ConnectionResetError", "udp": "ConnectionRefusedError"}
# Looks names up as programs do, and asks at each address who is there and where the answer is from.
CLIENT = """
import socket, sys
kind, version, rounds, port, *names = sys.argv[1:]
family = socket.AF_INET6 if version == "6" else socket.AF_INET
kind = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
sock = None
for name in names:
    try:
        to = socket.getaddrinfo(name, int(port), family, kind)[0][4]
    except OSError as error:
        print(name, "is not found", flush=True)
        continue
    if sock is None or kind == socket.SOCK_STREAM:
        sock = socket.socket(family, kind)
        sock.settimeout(10)
    for number in range(int(rounds)):
        try:
            if kind == socket.SOCK_STREAM:
                if not number:
                    sock.connect(to)
                sock.sendall(b"who\\n")
                data, source = sock.recv(1000), to
            elif len(names) > 1:
                sock.sendto(b"who\\n", to)
                data, source = sock.recvfrom(1000)
            else:  # to hear of errors
                sock.connect(to)
                sock.send(b"who\\n")
                data, source = sock.recvfrom(1000)
        except OSError as error:
            print(name, to[0], to[0], type(error).__name__, flush=True)
            break
        print(name, to[0], source[0], data.decode().strip(), flush=True)
"""


@pytest.fixture
def names(nameserver):
    nameserver.tell(NAME, *REAL.values())
    return nameserver


@pytest.fixture
def start(tmp_path):
    """The daemon with a built-in server that makes addresses up."""

    @contextmanager
    def started(upstream="direct://", *, home=None, **keys):
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        text = config(upstream, dns={}, **keys)
        with bed.Daemon(text, cgroup=home, env={"STATE_DIRECTORY": str(state)}) as daemon:
            daemon.wait_line("workers serve")
            yield daemon

    return started


def ask(app, kind, version, *names, rounds=1, port=PORT):
    """For each answer the name, the address it stood for, that of the answer, and the answer."""
    argv = [sys.executable, "-c", CLIENT, kind, version, rounds, port, *names]
    process = app.spawn([str(argument) for argument in argv], stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    return [line.split(" ") for line in output.decode().splitlines()]


def is_fake_ip(address):
    return bool(re.match(r"198\.1[89]\.|fc00:", address))


def check(answers, count, real):
    assert len(answers) == count, answers
    for _, fake_ip, source, *answer in answers:
        assert is_fake_ip(fake_ip)
        assert source == fake_ip
        assert answer[:3] == ["origin", real, str(PORT)]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", REAL)
def test_directly(start, names, cgroup, kind, version):
    with start() as daemon:
        check(ask(cgroup("app"), kind, version, NAME, rounds=12), 12, REAL[version])
        assert "refused" not in daemon.output


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", REAL)
def test_a_name_with_the_other_family_only(start, names, cgroup, kind, version):
    other = REAL[10 - version]
    names.tell("other.example", other)
    with start():
        app = cgroup("app")
        check(ask(app, kind, version, "other.example", rounds=12), 12, other)
        (refused,) = ask(app, kind, version, "other.example", port=9)
        assert refused[3] == REFUSED[kind]


def test_the_next_address_where_one_does_not_answer(start, names, cgroup, silent):
    names.tell("two.example", silent, bed.REMOTE4)
    with start():
        check(ask(cgroup("app"), "tcp", 4, "two.example"), 1, bed.REMOTE4)


@pytest.mark.parametrize("name", SERVERS)
def test_tcp_through(start, names, cgroup, tmp_path, name):
    """The app's own query is answered here, so who asks the name server is the upstream."""
    make, url = SERVERS[name]
    with (
        make(cgroup("upstream"), tmp_path),
        start(url.replace("CA", str(tmp_path / "cert.pem"))),
    ):
        for version in REAL:
            host = f"host{version}.example"
            names.tell(host, *REAL.values())
            ((_, fake_ip, _, *answer),) = ask(cgroup(f"app-{version}"), "tcp", version, host)
            assert is_fake_ip(fake_ip)
            assert answer[0] == "origin"
            assert answer[1] in REAL.values()
            assert f"{host} A" in names.lines


@pytest.mark.parametrize("name", ["dante", "sing-box-socks"])
@pytest.mark.parametrize("version", REAL)
def test_udp_through(start, names, cgroup, tmp_path, name, version):
    names.tell("real4.example", bed.REMOTE4)  # dante carries no IPv6 datagrams here
    make, url = SERVERS[name]
    with make(cgroup("upstream"), tmp_path), start(url) as daemon:
        check(ask(cgroup("app"), "udp", version, "real4.example", rounds=12), 12, bed.REMOTE4)
        assert "real4.example A" in names.lines
        assert "lost" not in daemon.output


@pytest.mark.parametrize("upstream", ["direct://", f"socks5://{ADDRESS}"])
def test_two_names_of_one_address_are_told_apart(start, names, cgroup, tmp_path, upstream):
    hosts = ["one.example", "two.example", bed.REMOTE4]
    for name in hosts[:2]:
        names.tell(name, bed.REMOTE4)
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), start(upstream):
        answers = ask(cgroup("app"), "udp", 4, *hosts * 2, rounds=6)
        assert [answer[0] for answer in answers] == [host for host in hosts * 2 for _ in range(6)]
        assert len({answer[1] for answer in answers}) == 3
        for _, to, source, *answer in answers:
            assert (source, answer[1]) == (to, bed.REMOTE4)


def test_a_name_is_no_reason_for_another_port(start, names, cgroup):
    """As STUN (RFC 8489) needs it, whose servers have names."""
    with start():
        answers = ask(cgroup("app"), "udp", 4, NAME, "192.0.2.99", NAME, rounds=6)
        assert len(answers) == 18
        assert len({answer[-1] for answer in answers}) == 1


@pytest.mark.parametrize("version", REAL)
def test_icmp_errors_are_about_the_fake_ip_address(start, names, cgroup, version):
    with start():
        (answer,) = ask(cgroup("app"), "udp", version, NAME, port=9)
        assert answer[3] == "ConnectionRefusedError"


def test_an_address_without_a_name_is_refused(start, cgroup):
    with start() as daemon:
        app = cgroup("app")
        for kind, error in REFUSED.items():
            for version, address in ((4, "198.19.200.1"), (6, "fc00::c8:1")):
                assert ask(app, kind, version, address) == [[address, address, address, error]]
        daemon.wait_line(r"refused, an address has no name any more: 198\.19\.200\.1:80; the app")


def test_the_old_workers_end_where_datagrams_were_refused(start, cgroup):
    with start(workers={"count": 1, "udp-timeout": 1}) as daemon:
        (server,) = bed.run("pgrep", "-P", str(daemon.pid)).split()
        before = set(bed.run("pgrep", "-P", server).split())
        ask(cgroup("app"), "udp", 4, "198.19.200.1")
        daemon.reload(daemon.config.read_text())

        def ended():
            return not before & set(bed.run("pgrep", "-P", server).split())

        bed.wait_until(ended, "the end of the old processes")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_name_that_nobody_knows_is_refused(start, names, cgroup, kind):
    with start() as daemon:
        ((_, fake_ip, *_, error),) = ask(cgroup("app"), kind, 4, "unknown.example")
        assert is_fake_ip(fake_ip)
        assert error == REFUSED[kind]
        daemon.wait_line(f"{kind} unknown.example:80 .{fake_ip}.: ")


def test_directly_where_the_upstream_is_down(start, names, cgroup):
    with start("socks5://127.0.0.1:1", **{"on-down": "direct"}):
        check(ask(cgroup("app"), "tcp", 4, NAME), 1, bed.REMOTE4)


def test_a_catch_all_rule(start, names, cgroup):
    with start(rules={".": "built-in"}):
        app = cgroup("app")
        for kind in ("tcp", "udp"):
            check(ask(app, kind, 4, NAME, rounds=2), 2, bed.REMOTE4)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_name_does_not_lead_to_this_computers_own_services(start, names, cgroup, kind):
    names.tell("rebound.example", "127.0.0.1", "::1")
    with bed.Responder("local", PORT, cgroup=cgroup("local")), start() as daemon:
        app = cgroup("app")
        daemon.wait_line("/app: tproxy")
        (answer,) = ask(app, kind, 4, "rebound.example")
        assert is_fake_ip(answer[1])
        assert "local" not in answer
        assert answer[3] in (REFUSED[kind], "TimeoutError")
