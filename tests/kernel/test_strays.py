"""What the kernel sends for a connection whose socket is gone goes where the connection went."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import bed
from bed.uplink import FAMILY, REMOTE, nothing_leaves, transparent

PORT, MARK = 10007, 3007
TPROXIES = {"first": {"port": PORT, "mark": MARK}}
DNS_PORT = 10008
HIJACKING = {"first": {**TPROXIES["first"], "dns-hijack": {"port": DNS_PORT}}}  # UDP over IPv4
CLIENT = str(bed.PROGRAMS / "closing_client.py")
SNMP = Path("/proc/net/snmp")
VERSIONS = pytest.mark.parametrize("version", [4, 6])


def client(home: bed.Cgroup, version: int, kind: int, port: int) -> bed.Program:
    numbers = [str(int(number)) for number in (port, FAMILY[version], kind)]
    return bed.Program([sys.executable, CLIENT, REMOTE[version], *numbers], cgroup=home)


@contextmanager
def connection(
    home: bed.Cgroup, version: int, port: int = 80
) -> Iterator[tuple[bed.Program, socket.socket]]:
    """A client in `home` that is redirected to us: it, and our socket."""
    with transparent(version, socket.SOCK_STREAM, ("", PORT)) as listener:
        listener.listen()
        with (
            client(home, version, socket.SOCK_STREAM, port) as program,
            closing(listener.accept()[0]) as sock,
        ):
            sock.settimeout(10)
            program.wait_line("^connected$")
            yield program, sock


@contextmanager
def conversation(
    home: bed.Cgroup, version: int, port: int = 80
) -> Iterator[tuple[bed.Program, socket.socket]]:
    """The same by UDP; the first datagram has been read."""
    with (
        transparent(version, socket.SOCK_DGRAM, ("", PORT)) as receiver,
        client(home, version, socket.SOCK_DGRAM, port) as program,
        transparent(version, socket.SOCK_DGRAM, (REMOTE[version], port)) as sock,
    ):
        sock.connect(receiver.recvfrom(100)[1])
        yield program, sock


def close(program: bed.Program, how: str) -> None:
    program.write(f"{how}\n")
    program.wait_line("^closed$")


@contextmanager
def lost_resets() -> Iterator[None]:
    chain = "chain out { type filter hook postrouting priority 0; tcp flags & rst == rst drop; }"
    bed.nft(f"table inet lost {{ {chain}; }}")
    try:
        yield
    finally:
        bed.nft("delete table inet lost")


def state(version: int, port: int, peer_port: int) -> list[str]:
    """Of the socket that has, or had, this port of the connection's."""
    ports = ("sport", "=", str(port), "and", "dport", "=", str(peer_port))
    return bed.run("ss", f"-{version}", "-tanH", *ports).split()[:1]


def unreachable() -> int:
    """How many such ICMP errors the kernel has made, be they sent or dropped after that."""
    names, numbers = (
        line.split() for line in SNMP.read_text().splitlines() if line.startswith("Icmp:")
    )
    return int(numbers[names.index("OutDestUnreachs")])


@pytest.mark.parametrize("port", [53, 80])
@VERSIONS
def test_the_last_acknowledgement(cgroup: bed.MakeCgroup, version: int, port: int) -> None:
    with (
        bed.Daemon(bed.config(tproxies=HIJACKING)),
        nothing_leaves(),
        connection(cgroup("proxy"), version, port) as (program, sock),
    ):
        close(program, "properly")
        assert sock.recv(1) == b""
        # Its first half has ended and been acknowledged: the kernel forgets the socket.
        clients = sock.getpeername()[1]
        bed.wait_until(lambda: state(version, clients, port) == ["FIN-WAIT-2"], "the client's half")
        sock.close()
        bed.wait_until(lambda: state(version, port, clients) == [], "the other", timeout=3)


@VERSIONS
def test_a_reset_by_nobody(cgroup: bed.MakeCgroup, version: int) -> None:
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        nothing_leaves(),
        connection(cgroup("proxy"), version) as (program, sock),
    ):
        with lost_resets():
            close(program, "reset")
        sock.send(b"is anybody there?")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


@VERSIONS
def test_an_answer_that_nobody_waits_for_any_more(cgroup: bed.MakeCgroup, version: int) -> None:
    with (
        bed.Daemon(bed.config(tproxies=TPROXIES)),
        nothing_leaves(),
        conversation(cgroup("proxy"), version) as (program, sock),
    ):
        close(program, "properly")
        sock.send(b"here is what you have asked for")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(1)


def test_an_answer_to_a_query_that_nobody_waits_for_any_more(cgroup: bed.MakeCgroup) -> None:
    with (
        bed.Daemon(bed.config(tproxies=HIJACKING)),
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server,
        nothing_leaves(),
    ):
        server.bind(("127.0.0.1", DNS_PORT))
        server.settimeout(10)
        with client(cgroup("proxy"), 4, socket.SOCK_DGRAM, 53) as program:
            address = server.recvfrom(100)[1]
            close(program, "properly")
            before = unreachable()
            server.sendto(b"here is what you have asked for", address)
            bed.wait_until(lambda: unreachable() > before, "the kernel's error")


def test_answers_may_have_the_mark_of_their_connection(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """As where another program restores it, be it for its own connections or for all."""
    with bed.Daemon(bed.config()):
        chain = "chain in { type filter hook prerouting priority -150; meta mark set ct mark; }"
        bed.nft(f"table inet somebody {{ {chain}; }}")
        try:
            assert bed.paths(cgroup("proxy")) == bed.everywhere("tproxy")
        finally:
            bed.nft("delete table inet somebody")


def test_an_open_socket_goes_by_its_cgroup_alone(cgroup: bed.MakeCgroup) -> None:
    mark = f'socket cgroupv2 level 1 "other" ct mark set {MARK}'
    with bed.Daemon(bed.config(tproxies=TPROXIES)):
        other = cgroup("other")
        chain = f"chain out {{ type filter hook output priority -180; {mark}; }}"
        bed.nft(f"table inet somebody {{ {chain}; }}")
        try:
            assert bed.paths(other) == bed.everywhere("origin")
        finally:
            bed.nft("delete table inet somebody")
