"""A manager that says what systemd would not: nothing comes of it, or an error of ours."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.cgroup.dbus import conversation as module
from cgtproxy.cgroup.dbus.conversation import BrokenError, Conversation
from cgtproxy.cgroup.dbus.names import SYSTEMD
from cgtproxy.errors import CgtproxyError
from unit.scripted_manager import OK, Manager, reply, talk


def script() -> bytes:
    """What a manager that is asked directly says in a conversation."""
    manager = Manager(bus=False, units={"a.service": "active"})
    said = OK + manager.listing(1)
    said += reply(2, "v", (("s", "/a"),), sender=SYSTEMD)
    return said + manager.change("a.service", {"ActiveState": ("s", "inactive")})


@given(st.data())
def test_any_bytes_end_in_an_error_of_ours_or_in_nothing(data: st.DataObject) -> None:
    said = bytearray(script())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(len(OK), len(said) - 1))
        said[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    conversation = Conversation(bus=False, units={})
    with suppress(CgtproxyError):
        list(conversation.receive(bytes(said[: len(OK)])))
        list(conversation.receive(bytes(said[len(OK) :])))
        list(conversation.receive(data.draw(st.binary(max_size=100))))
    assert len(conversation.outgoing) < 100_000


@given(st.binary(max_size=200))
def test_any_bytes_from_the_beginning(said: bytes) -> None:
    for begin in (b"", OK, OK + b"l\4\0\1"):
        with suppress(CgtproxyError):
            list(Conversation(bus=True, units={}).receive(begin + said))


@pytest.mark.parametrize(
    "path", ["", "a", "/", "/../a", "/a/..", "/a/./b", "/a//b", "/a/", "/" + "a" * 2000]
)
def test_odd_paths_are_left_out(path: str) -> None:
    conversation, manager = talk(units={"a.service": "active"})
    assert manager.locate(conversation, "a.service", path) == []


def test_too_many_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNITS", 10)
    conversation, manager = talk(units={f"u{i}.service": "active" for i in range(10)})
    manager.tell(conversation, "u3.service", "active")
    with pytest.raises(BrokenError, match="10"):
        manager.tell(conversation, "another.service", "active")


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("a" * 300 + ".service", "active"),
        ("a\nfake line.service", "active"),
        ("é.service", "active"),
        ("a.service", "active\nfake line"),
        ("a.service", ""),
    ],
)
def test_what_systemd_would_not_say_is_left_out(name: str, state: str) -> None:
    """It would be in our log."""
    conversation, manager = talk(units={name: state})
    manager.tell(conversation, name, state)
    assert not conversation.units
    assert not conversation.outgoing
