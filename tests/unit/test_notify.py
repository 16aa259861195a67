"""What the service manager is told, on a real socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cgtproxy.runtime.notify import Notifier


def datagram_socket() -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(5)
    return manager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket, and its address as a service manager tells it."""
    with closing(datagram_socket()) as sock:
        if request.param == "path":
            address = str(tmp_path / "notify")
            sock.bind(address)
        else:
            sock.bind("")  # the kernel chooses a name (unix(7), autobind)
            address = "@" + sock.getsockname()[1:].decode()
        yield sock, address


def test_what_is_told(manager: tuple[socket.socket, str]) -> None:
    sock, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("3 cgroups")
    notifier.status("4 cgroups")
    notifier.watchdog()
    notifier.stopping()
    assert [sock.recv(999) for _ in range(4)] == [
        b"READY=1\nSTATUS=3 cgroups",
        b"STATUS=4 cgroups",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_manager_that_does_not_read_stops_nobody(manager: tuple[socket.socket, str]) -> None:
    _, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})

    def tell() -> None:
        for _ in range(1000):  # more than a socket's queue holds (net.unix.max_dgram_qlen)
            notifier.status("x")
            notifier.watchdog()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    teller.join(timeout=10)
    assert not teller.is_alive()


def test_a_reload_tells_when_it_began(manager: tuple[socket.socket, str]) -> None:
    sock, address = manager
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": address}).reloading()
    after = time.monotonic_ns() // 1000
    first, second = sock.recv(999).split(b"\n")
    assert first == b"RELOADING=1"
    assert before <= int(second.removeprefix(b"MONOTONIC_USEC=")) <= after


def test_a_cgroup_whose_name_is_not_utf8_can_be_named(manager: tuple[socket.socket, str]) -> None:
    sock, address = manager
    Notifier({"NOTIFY_SOCKET": address}).status("no watch for " + os.fsdecode(b"/a-\xff"))
    assert sock.recv(999).decode().startswith("STATUS=no watch for /a-")


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "@nobody-listens-there"])
def test_nobody_to_tell_is_no_error(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("x")
    notifier.stopping()


def test_a_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    with closing(datagram_socket()) as sock:
        sock.bind(str(tmp_path / "notify"))
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).status("x")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid())}, 1e-6),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_watchdog(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environ).watchdog_seconds == seconds
