"""UDP through the built-in server: sizes, full cone, ICMP errors, expiry."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bed
from bed import upstreams
from kernel.test_proxy import config, start

__all__ = ["start"]

ECHO = """
import socket, sys
family, level, option = socket.AF_INET, socket.IPPROTO_IP, 19
if ":" in sys.argv[1]:
    family, level, option = socket.AF_INET6, socket.IPPROTO_IPV6, 75
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(level, option, 1)  # transparent
    sock.bind((sys.argv[1], 7100))
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)
"""
SIZES = """
import hashlib, random, socket, sys
host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
sent = 0
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((host, 7100))
    for size in [0, 1, 2, 3, 1200, 1252, 1350, 1452, 1472, 9000, 40000, 65000] * 5:
        data = random.randbytes(size)
        sock.send(data)
        assert sock.recv(65536) == data, size
    for _ in range(20):
        burst = [random.randbytes(random.randrange(1400)) for _ in range(30)]
        for data in burst:
            sock.send(data)
        assert sorted(sock.recv(65536) for _ in burst) == sorted(burst)
print("ok")
"""
# Asks one address for its own as seen there, and is then written to from two others.
CONE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    for _ in range(6):
        sock.sendto(b"who\\n", ("192.0.2.7", 80))
        first = sock.recv(1000).split()
    sock.sendto(b"who\\n", ("198.51.100.9", 80))
    second = sock.recv(1000).split()
    print(first[3:] == second[3:], first[4].decode(), flush=True)
    data, source = sock.recvfrom(1000)
    print(data.decode(), *source, flush=True)
"""
STRANGER = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, 19, 1)
    sock.bind(("203.0.113.5", 4444))
    sock.sendto(b"stranger", (sys.argv[1], int(sys.argv[2])))
"""
ERROR = """
import socket, sys
host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((host, 9))
    sock.send(b"x")
    try:
        sock.recv(10)
    except ConnectionRefusedError:
        print("refused")
"""
SOCKS5 = f"socks5://127.0.0.1:{upstreams.PORT}"


def run(app, program, *arguments):
    process = app.spawn([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    return output.decode().strip()


@pytest.mark.parametrize("upstream", ["direct://", SOCKS5], ids=["direct", "socks5"])
@pytest.mark.parametrize("host", [bed.REMOTE4, bed.REMOTE6])
def test_datagrams_of_any_size(start, cgroup, tmp_path, upstream, host):
    echo = bed.Program([*bed.OUTSIDE, sys.executable, "-c", ECHO, host])
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), echo, start(config(upstream)):
        echo.wait_line("^ready$")
        program = (
            SIZES if upstream == "direct://" else SIZES.replace(", 40000, 65000", "")
        )  # sing-box cuts at 16 KiB
        assert run(cgroup("app"), program, host) == "ok"


@pytest.mark.parametrize("upstream", ["direct://", SOCKS5], ids=["direct", "socks5"])
def test_full_cone(start, cgroup, tmp_path, upstream):
    with (
        upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"),
        start(config(upstream)),
        bed.Program([sys.executable, "-c", CONE], cgroup=cgroup("app")) as client,
    ):
        same, port = client.wait_line("^(True|False)").split()
        assert same == "True"
        host = bed.HOST4 if upstream == "direct://" else bed.PROXY4
        bed.run(*bed.OUTSIDE, sys.executable, "-c", STRANGER, host, port)
        client.wait_line(r"^stranger 203\.0\.113\.5 4444$")


@pytest.mark.parametrize("host", [bed.REMOTE4, bed.REMOTE6])
def test_icmp_errors_are_passed_on(start, cgroup, host):
    with start(config()):
        assert run(cgroup("app"), ERROR, host) == "refused"


def test_sessions_expire(start, cgroup):
    with start(config(workers={"udp-timeout": 1, "count": 1, "connections": 2})) as server:
        app = cgroup("app")
        flows = [bed.Flow("udp", f"192.0.2.{n}", 80) for n in range(10, 20)]
        assert {o.by for o in bed.probe(app, *flows).values()} == {"origin", "timeout"}
        server.wait_line("no more UDP sessions for now: 2 are open")
        bed.wait_until(
            lambda: bed.probe(app, flows[0])[flows[0]].by == "origin", "expiry", timeout=30
        )


def test_clients_that_get_nowhere_count_too(cgroup, tmp_path):
    """What goes to an address without a name is refused, but the session has a socket by then."""
    text = config(dns={}, workers={"count": 1, "connections": 2})
    with bed.Daemon(text, env={"STATE_DIRECTORY": str(tmp_path)}) as server:
        flow = bed.Flow("udp", "198.18.77.77", 80)
        app = cgroup("app")
        for _ in range(3):
            bed.probe(app, flow, timeout=1)
        server.wait_line("no more UDP sessions for now: 2 are open")


def test_a_datagram_to_the_port_itself_is_refused(start, cgroup):
    with start(config()) as server:
        flow = bed.Flow("udp", bed.HOST4, 10005)
        assert bed.probe(cgroup("other"), flow, timeout=1)[flow].by == "timeout"
        server.wait_line("refused, it would go to this server itself")
