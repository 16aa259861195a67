"""What the kernel sends for a connection whose socket is gone goes where the connection went."""

from __future__ import annotations

import socket
import sys
from contextlib import closing, contextmanager

import pytest

import bed

PORT, MARK = 10007, 3007
TPROXIES = {"first": {"port": PORT, "mark": MARK}}
CLIENT = """
import socket, struct, sys
with socket.create_connection((sys.argv[1], 80), 10) as sock:
    print("connected", flush=True)
    if sys.stdin.readline() == "reset\\n":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print("closed", flush=True)
sys.stdin.readline()
"""
LISTEN = {4: socket.AF_INET, 6: socket.AF_INET6}
REMOTE = {4: bed.REMOTE4, 6: bed.REMOTE6}
TRANSPARENT = {4: (socket.IPPROTO_IP, socket.IP_TRANSPARENT), 6: (socket.IPPROTO_IPV6, 75)}
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@contextmanager
def connection(home, version):
    """A client in `home` that is redirected to us: it, and our socket."""
    with closing(socket.socket(LISTEN[version])) as listener:
        listener.setsockopt(*TRANSPARENT[version], 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", PORT))
        listener.listen()
        listener.settimeout(10)
        argv = [sys.executable, "-c", CLIENT, REMOTE[version]]
        with bed.Program(argv, cgroup=home) as client:
            sock = listener.accept()[0]
            with closing(sock):
                sock.settimeout(10)
                client.wait_line("^connected$")
                yield client, sock


def close(client, how):
    client.write(f"{how}\n")
    client.wait_line("^closed$")


@contextmanager
def nothing_leaves():
    """Fails where a packet of TCP for a remote address takes the way into the world."""
    rules = "".join(
        f'oifname "uplink" {family} daddr {remote} meta l4proto tcp counter; '
        for family, remote in (("ip", bed.REMOTE4), ("ip6", bed.REMOTE6))
    )
    bed.nft(
        f"table inet look {{ chain out {{ type filter hook postrouting priority 0; {rules} }}; }}"
    )
    try:
        yield
        listing = bed.run("nft", "list", "table", "inet", "look")
    finally:
        bed.nft("delete table inet look")
    assert listing.count("counter packets 0 ") == 2, listing


@contextmanager
def lost_resets():
    chain = "chain out { type filter hook postrouting priority 0; tcp flags & rst == rst drop; }"
    bed.nft(f"table inet lost {{ {chain}; }}")
    try:
        yield
    finally:
        bed.nft("delete table inet lost")


def state(version, port):
    """Of the socket that has, or had, this port of the connection's."""
    return bed.run("ss", f"-{version}", "-tanH", "sport", "=", str(port)).split()[:1]


@VERSIONS
def test_the_last_acknowledgement(cgroup, version):
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        nothing_leaves(),
        connection(cgroup("proxy"), version) as (client, sock),
    ):
        close(client, "properly")
        assert sock.recv(1) == b""
        # Its first half has ended and been acknowledged: the kernel forgets the socket.
        port = sock.getpeername()[1]
        bed.wait_until(lambda: state(version, port) == ["FIN-WAIT-2"], "the client's half")
        sock.close()
        bed.wait_until(lambda: state(version, 80) == [], "the other", timeout=3)


@VERSIONS
def test_a_reset_by_nobody(cgroup, version):
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        nothing_leaves(),
        connection(cgroup("proxy"), version) as (client, sock),
    ):
        with lost_resets():
            close(client, "reset")
        sock.send(b"is anybody there?")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_an_open_socket_goes_by_its_cgroup_alone(cgroup):
    mark = f'socket cgroupv2 level 1 "other" ct mark set {MARK}'
    with bed.Daemon(bed.config(tproxies=TPROXIES)):
        other = cgroup("other")
        chain = f"chain out {{ type filter hook output priority -180; {mark}; }}"
        bed.nft(f"table inet somebody {{ {chain}; }}")
        try:
            assert bed.paths(other) == bed.everywhere("origin")
        finally:
            bed.nft("delete table inet somebody")
