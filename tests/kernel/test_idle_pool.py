"""Connections to an upstream that are made before they are needed."""

from __future__ import annotations

import re
import signal
import sys

import pytest

import bed
from bed.upstreams import PORT, Upstream
from kernel.test_proxy import config, start

__all__ = ["start"]

# A SOCKS5 server that tells of each connection, by its client's port, what becomes of it. At
# SIGUSR1 it ends those that are of no use yet. It goes on with serve() and LISTEN.
BEGIN = """
import itertools, os, signal, socket, struct, sys
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(64)
idle = set()

def tell(what, port):
    os.write(1, b"%s %d\\n" % (what.encode(), port))

def end_idle(*_):
    for sock in list(idle):
        sock.shutdown(socket.SHUT_RDWR)
"""
LISTEN = """
signal.signal(signal.SIGUSR1, end_idle)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock, (_, port) = listener.accept()
    pool.submit(serve, sock, port)
"""

# With "end" or "reset" it does so when the second and third ask.
CONNECTING = """
turn = itertools.count(1)

def serve(sock, port):
    if not sock.recv(3):
        return
    rude = next(turn) in (2, 3) and len(sys.argv) > 2
    sock.sendall(b"\\5\\0")
    idle.add(sock)
    tell("greeted", port)
    try:
        request = sock.recv(100)
    except OSError:
        request = b""
    idle.discard(sock)
    tell("asked" if request else "ended", port)
    if rude:
        linger = struct.pack("ii", "reset" in sys.argv, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        sock.close()
    elif request:
        host = socket.inet_ntoa(request[4:8])
        remote = socket.create_connection((host, int.from_bytes(request[8:10], "big")))
        sock.sendall(b"\\5\\0\\0\\1" + bytes(6))
        pool.submit(pump, remote, sock)
        pump(sock, remote)

def pump(source, sink):
    while data := source.recv(1 << 16):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
"""

ASSOCIATING = """
def serve(control, port):
    control.recv(3)
    control.sendall(b"\\5\\0")
    if not control.recv(100):
        return
    relay = socket.socket(type=socket.SOCK_DGRAM)
    relay.bind(("127.0.0.1", 0))
    host, number = relay.getsockname()
    control.sendall(b"\\5\\0\\0\\1" + socket.inet_aton(host) + number.to_bytes(2, "big"))
    idle.add(control)
    tell("greeted", port)
    pool.submit(pass_on, relay, control, port)
    control.recv(1)
    tell("ended", port)

def pass_on(relay, control, port):
    datagram, client = relay.recvfrom(1 << 16)
    idle.discard(control)
    tell("asked", port)
    remote = socket.socket(type=socket.SOCK_DGRAM)
    host, number = socket.inet_ntoa(datagram[4:8]), int.from_bytes(datagram[8:10], "big")
    remote.sendto(datagram[10:], (host, number))
    relay.sendto(datagram[:10] + remote.recv(1 << 16), client)
"""


@pytest.fixture
def upstream(cgroup):
    def make(*options, serve=CONNECTING):
        argv = [sys.executable, "-c", BEGIN + serve + LISTEN, str(PORT), *options]
        return Upstream(argv, cgroup("upstream"))

    return make


@pytest.fixture
def text():
    keys = {"health-check": 0, "workers": {"count": 1}}
    return config(f"socks5://127.0.0.1:{PORT}", **keys)


@pytest.fixture
def visit(cgroup):
    """Connects to the origin, or asks it by UDP; says by whom that was answered."""
    app = cgroup("app")

    def visited(protocol="tcp"):
        flow = bed.Flow(protocol, bed.REMOTE4, 443)
        return bed.probe(app, flow, timeout=8)[flow].by

    return visited


def ports(server, what):
    return [line.split()[1] for line in server.lines if line.startswith(what)]


def wait_ports(server, what, number, timeout=10):
    return server.wait_news(
        lambda: found if len(found := ports(server, what)) >= number else None,
        f"{number} times {what!r}",
        timeout,
    )


def test_the_next_connection_finds_one(start, upstream, visit, text):
    with upstream() as server, start(text):
        assert visit() == "origin"
        first, *spares = wait_ports(server, "greeted", 3)
        assert ports(server, "asked") == [first]
        assert visit() == "origin"
        (second,) = ports(server, "asked")[1:]
        spares.remove(second)
        # Another one has taken its place, and nobody needs it: it ends after 10 seconds.
        last = wait_ports(server, "greeted", 4)[3]
        assert set(wait_ports(server, "ended", 2, 20)) == {*spares, last}


def test_those_that_the_server_has_ended_are_not_taken(start, upstream, visit, text):
    with upstream() as server, start(text):
        assert visit() == "origin"
        first = wait_ports(server, "greeted", 3)[0]
        server.process.send_signal(signal.SIGUSR1)
        wait_ports(server, "ended", 2)
        assert visit() == "origin"
        assert ports(server, "asked") == [first, wait_ports(server, "greeted", 4)[3]]


@pytest.mark.parametrize("how", ["end", "reset"])
def test_one_that_ends_when_it_is_asked_harms_nobody(start, upstream, visit, text, how):
    with upstream(how) as server, start(text) as daemon:
        assert visit() == "origin"
        wait_ports(server, "greeted", 3)
        assert visit() == "origin"
        asked = ports(server, "asked")
        assert asked[1] in wait_ports(server, "greeted", 3)[1:3]
        assert len(asked) > 2
        assert "failed" not in daemon.output


def test_one_that_leads_nowhere_any_more_is_given_up(start, upstream, visit, text):
    """As after a change of the network, or when a router has forgotten it."""
    with upstream() as server, start(text) as daemon:
        assert visit() == "origin"
        first, *spares = wait_ports(server, "greeted", 3)
        bed.nft(f"""
            table inet forgetful {{
                chain output {{
                    type filter hook output priority 0
                    tcp dport {PORT} tcp sport {{ {", ".join(spares)} }} drop
                }}
            }}
        """)
        assert visit() == "origin"
        asked = ports(server, "asked")
        assert asked[0] == first
        assert len(asked) == 2 and asked[1] not in spares
        assert not re.search("failed|is down", daemon.output)
        bed.nft("delete table inet forgetful")


def test_an_upstream_that_has_gone_is_missed_at_once(start, upstream, visit, text):
    with upstream() as server, start(text) as daemon:
        assert visit() == "origin"
        wait_ports(server, "greeted", 3)
        server.kill()
        assert visit() == "reset"
        daemon.wait_line("failed: Connection refused")


def wait_associations(server):
    """The two that are ready. A server's threads may tell of an association late."""
    asked = wait_ports(server, "asked", 1)
    return set(wait_ports(server, "greeted", 3)) - set(asked)


def test_the_next_client_of_udp_finds_an_association(start, upstream, visit, text):
    with upstream(serve=ASSOCIATING) as server, start(text):
        assert visit("udp") == "origin"
        spares = wait_associations(server)
        assert visit("udp") == "origin"
        asked = wait_ports(server, "asked", 2)
        assert asked[1] in spares
        greeted = wait_ports(server, "greeted", 4)
        assert set(wait_ports(server, "ended", 2, 20)) == set(greeted) - set(asked)


def test_associations_that_the_server_has_ended_are_not_taken(start, upstream, visit, text):
    with upstream(serve=ASSOCIATING) as server, start(text):
        assert visit("udp") == "origin"
        spares = wait_associations(server)
        server.process.send_signal(signal.SIGUSR1)
        wait_ports(server, "ended", 2)
        assert visit("udp") == "origin"
        assert wait_ports(server, "asked", 2)[1] not in spares
