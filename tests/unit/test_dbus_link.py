"""A connection to a manager, over real sockets: it breaks, and is made again."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cgtproxy.cgroup.dbus.conversation import News
from cgtproxy.cgroup.dbus.link import READ_SIZE, Link
from cgtproxy.cgroup.tree import Unit
from cgtproxy.runtime.event_loop import NestedLoop
from unit.scripted_manager import OK, Manager

TIMEOUT = 20.0
UNIT = Unit("a.service", "active")


class Side:
    """A manager's socket, and our link to it; the link runs while the manager waits."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.loop = NestedLoop()
        self.news: list[News] = []
        self.link: Link

    def connect(self, owner: int | None = None) -> None:
        uid = os.geteuid() if owner is None else owner
        self.link = Link(self.loop, self.path, "the manager", uid, self.news.append)

    def listen(self) -> None:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        self.server.setblocking(False)

    def accept(self) -> None:
        self.server.settimeout(TIMEOUT)
        self.peer, _ = self.server.accept()
        self.peer.settimeout(TIMEOUT)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end
            self.loop.turn(0.1)

    def answer(self) -> None:
        """Up to the location of its only unit."""
        manager = Manager(bus=False, units={UNIT.name: UNIT.state})
        assert self.peer.recv(1000).endswith(b"BEGIN\r\n")
        self.peer.send(OK)
        said: list[bytes] = []
        self.loop.turn(1)
        calls = manager._parser.feed(self.peer.recv(READ_SIZE))
        said.append(manager.listing(calls[0].header.serial))
        self.peer.send(said.pop())
        self.until(lambda: self.link.conversation.listed)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    made = Side(tmp_path / "socket")
    yield made
    made.link.close()
    made.loop.close()


def test_nobody_listens_yet(side: Side) -> None:
    side.connect()
    assert side.link.fault
    assert "no answer from the manager" in side.link.fault.message
    assert side.link.settled
    side.listen()
    side.until(lambda: side.link._socket is not None)
    side.accept()
    assert side.link.fault  # until it has listed its units
    side.answer()
    assert side.link.fault is None


@pytest.mark.parametrize(
    "said",
    [b"REJECTED\r\n", OK + b"x" * 100, OK + b"l\4\0\1" + b"\xff" * 100, b"x" * 100_000, b""],
    ids=["rejected", "nonsense", "long", "endless", "nothing"],
)
def test_a_manager_that_makes_no_sense_is_left_and_tried_again(side: Side, said: bytes) -> None:
    side.listen()
    side.connect()
    side.accept()
    side.peer.sendall(said)
    side.peer.shutdown(socket.SHUT_WR)
    side.until(lambda: side.link.fault is not None)
    side.peer.close()
    side.until(lambda: side.link._socket is not None)
    side.accept()
    side.answer()
    assert side.link.fault is None


def test_a_broken_connection_keeps_what_is_known(side: Side) -> None:
    side.listen()
    side.connect()
    side.accept()
    side.answer()
    assert side.link.conversation.units.keys() == {UNIT.name}
    side.peer.close()
    side.until(lambda: side.link.fault is not None)
    side.until(lambda: side.link._socket is not None)
    assert side.link.conversation.units.keys() == {UNIT.name}
    side.accept()
    side.answer()


def test_somebody_elses_socket(side: Side) -> None:
    side.listen()
    side.connect(owner=os.geteuid() + 1)
    assert side.link.fault
    assert f"user {os.geteuid()}'s" in side.link.fault.message
    side.accept()
    assert side.peer.recv(100) == b""  # we said nothing to it


def test_a_closed_link_stays_closed(side: Side) -> None:
    side.connect()
    side.link.close()
    side.listen()
    again: list[bool] = []
    side.loop.after(0.3, lambda: again.append(True))
    side.until(lambda: bool(again))
    with pytest.raises(BlockingIOError):
        side.server.accept()


def test_what_cannot_be_sent_yet_waits(side: Side) -> None:
    """A manager that does not read: what is left is sent when there is room for it."""
    side.listen()
    side.connect()
    side.accept()
    assert side.peer.recv(1000).endswith(b"BEGIN\r\n")
    side.link.conversation.outgoing += b"x" * 5_000_000
    side.peer.send(OK)
    side.until(lambda: side.link.conversation._stream.agreed)
    assert side.link.conversation.outgoing
    received = 0
    while side.link.conversation.outgoing:
        received += len(side.peer.recv(1 << 20))
        side.loop.turn(0)
    assert received > 0
