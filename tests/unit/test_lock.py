"""One daemon in a network namespace; nobody else can take that from it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from cgtproxy.errors import AlreadyRunningError
from cgtproxy.runtime import lock

NOBODY = 65534


@pytest.fixture(autouse=True)
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    """Another than the real one: a daemon may be running here."""
    monkeypatch.setattr(lock, "NAME", f"\0cgtproxy-test-{os.getpid()}")
    return lock.NAME


@contextmanager
def another_process(uid: int, act: Callable[[], object]) -> Iterator[int]:
    """A process of this user that did `act` and holds what that returned; its pid."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(uid)
            held = act()  # noqa: F841 (a socket that is collected is closed)
            os.write(told, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    try:
        assert os.read(ready, 1) == b"x", "the other process failed"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)


def test_the_name_is_held_as_long_as_the_socket() -> None:
    for _ in range(2):
        held = lock.take()
        assert held is not None
        with pytest.raises(AlreadyRunningError):
            lock.take()
        held.close()


def test_the_other_one_is_named() -> None:
    with another_process(os.geteuid(), lock.take) as pid:
        with pytest.raises(AlreadyRunningError, match=f"running already, pid {pid};") as caught:
            lock.take()
        assert caught.value.exit_code == os.EX_TEMPFAIL
    held = lock.take()  # it went with its process
    assert held
    held.close()


def bound(backlog: int | None) -> list[socket.socket]:
    """The name, held; its queue of connections full if it has one."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(lock.NAME)
    if backlog is None:
        return [sock]
    sock.listen(backlog)
    return [sock, *(connected() for _ in range(backlog + 1))]


def connected() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(lock.NAME)
    return sock


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@needs_root
@pytest.mark.parametrize(
    "squat",
    [
        pytest.param(lock.take, id="as we do it"),
        pytest.param(lambda: bound(None), id="without listening"),
        pytest.param(lambda: bound(0), id="with a full queue"),
    ],
)
def test_a_stranger_cannot_keep_us_from_running(squat: Callable[[], object]) -> None:
    with another_process(NOBODY, squat):
        assert lock.take() is None


@needs_root
def test_a_strangers_daemon_may_not_run_beside_roots() -> None:
    held = lock.take()
    assert held
    with closing(held), another_process(NOBODY, refused):
        pass


def refused() -> None:
    with pytest.raises(AlreadyRunningError):
        lock.take()
