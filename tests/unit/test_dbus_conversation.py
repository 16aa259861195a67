"""What we say to a manager and make of its answers: no socket, no systemd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.cgroup.dbus import conversation as module
from cgtproxy.cgroup.dbus.conversation import MOST_ASKED, BrokenError, Conversation, News
from cgtproxy.cgroup.dbus.names import BUS, MANAGER, MANAGER_PATH, SYSTEMD
from cgtproxy.cgroup.tree import Unit
from cgtproxy.runtime.dbus.stream import RefusedError
from unit.scripted_manager import OK, Manager, message, reply, talk

both_ways = pytest.mark.parametrize("bus", [True, False], ids=["bus", "private"])


def test_nothing_is_sent_together_with_the_handshake() -> None:
    """A private socket leaves such a message lying until another one comes."""
    conversation = Conversation(bus=False, units={})
    assert conversation.outgoing.startswith(b"\0AUTH EXTERNAL ")
    assert conversation.outgoing.endswith(b"\r\nBEGIN\r\n")
    conversation.outgoing.clear()
    assert not list(conversation.receive(OK[:-1]))
    assert not conversation.outgoing
    assert not list(conversation.receive(OK[-1:]))
    assert conversation.outgoing


@pytest.mark.parametrize("answer", [b"REJECTED EXTERNAL\r\n", b"\r\n", b"x" * 2000])
def test_a_refused_handshake(answer: bytes) -> None:
    with pytest.raises(RefusedError, match="handshake"):
        list(Conversation(bus=True, units={}).receive(answer))


def test_what_is_said_at_the_beginning() -> None:
    _, manager = talk(bus=True)
    assert manager.heard == ["Hello", *["AddMatch"] * 2, "Subscribe", "ListUnitsByPatterns"]
    _, manager = talk(bus=False)
    assert manager.heard == ["ListUnitsByPatterns"]


@both_ways
def test_units_of_the_listing_are_located(bus: bool) -> None:
    conversation, manager = talk(bus, {"a-b@1.service": "active", "c.device": "active"})
    assert manager.asked == ["a-b@1.service"]
    assert not conversation.settled
    unit = Unit("a-b@1.service", "active")
    assert manager.locate(conversation, unit.name, "/x.slice/a") == [News(unit, b"/x.slice/a")]
    assert conversation.settled


@both_ways
@pytest.mark.parametrize("state", ["active", "activating", "reloading", "deactivating"])
def test_a_unit_that_lives_is_located(bus: bool, state: str) -> None:
    conversation, manager = talk(bus)
    assert manager.tell(conversation, "a.scope", state) == []
    manager.listen(conversation)
    assert manager.asked == ["a.scope"]
    assert manager.locate(conversation, "a.scope", "/a") == [News(Unit("a.scope", state), b"/a")]


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_unit_that_ended_is_looked_at_and_not_asked_about(state: str) -> None:
    """To ask would load it again."""
    conversation, manager = talk(units={"a.service": "active"})
    manager.locate(conversation, "a.service", "/a")
    assert manager.tell(conversation, "a.service", state) == [News(Unit("a.service", state), b"/a")]
    assert manager.tell(conversation, "other.service", state) == []
    assert not conversation.outgoing
    assert not conversation.units


@both_ways
@pytest.mark.parametrize("member", ["UnitNew", "UnitRemoved"])
def test_loading_and_unloading_mean_nothing(bus: bool, member: str) -> None:
    """A unit that was asked about is loaded and says so: an answer would be asked for ever.

    A daemon-reload unloads and loads every unit, those that live too.
    """
    conversation, manager = talk(bus, {"a.service": "active"})
    manager.locate(conversation, "a.service", "/a")
    for name in ("a.service", "b.service"):
        body = (name, "/org/freedesktop/systemd1/unit/x")
        interface = {"interface": MANAGER, "member": member, "path": MANAGER_PATH}
        assert not list(
            conversation.receive(message("so", body, **interface, sender=manager.sender))
        )
    assert not conversation.outgoing
    assert conversation.units.keys() == {"a.service"}


def test_other_properties_and_types_of_unit_mean_nothing() -> None:
    conversation, manager = talk(bus=False)
    service = "org.freedesktop.systemd1.Service"
    assert not list(conversation.receive(manager.change("a.service", {}, service)))
    assert not list(conversation.receive(manager.change("a.service", {"Job": ("s", "x")})))
    odd = {"ActiveState": ("u", 5)}
    assert not list(conversation.receive(manager.change("a.service", odd)))
    assert not manager.tell(conversation, "a.device", "active")
    assert not conversation.outgoing


def test_only_systemd_is_believed() -> None:
    conversation, manager = talk()
    stranger = Manager(bus=True)
    stranger.sender = ":1.66"
    assert not stranger.tell(conversation, "a.service", "active")
    assert not conversation.outgoing
    manager.tell(conversation, "a.service", "active")
    assert conversation.outgoing


def test_a_restart_is_looked_at_twice() -> None:
    """Where it was, at once; where it is, when that is known."""
    conversation, manager = talk(units={"a.service": "active"})
    manager.locate(conversation, "a.service", "/old")
    deactivating = Unit("a.service", "deactivating")
    assert manager.tell(conversation, *deactivating) == [News(deactivating, b"/old")]
    manager.listen(conversation)
    active = Unit("a.service", "active")
    assert manager.tell(conversation, *active) == [News(active, b"/old")]
    assert manager.locate(conversation, "a.service", "/new") == [News(active, b"/new")]


def test_questions_are_bounded_and_asked_once_for_each_unit() -> None:
    conversation, manager = talk()
    names = [f"u{number}.service" for number in range(1000)]
    for _ in range(3):
        for name in names:
            manager.tell(conversation, name, "active")
    assert len(conversation.outgoing) < MOST_ASKED * 300
    manager.listen(conversation)
    assert manager.asked == names[:MOST_ASKED]
    for name in names:
        manager.locate(conversation, name, f"/{name}")
        manager.listen(conversation)
    # Those that were already asked about when they changed again are asked about once more.
    assert sorted(manager.asked) == sorted(names + names[:MOST_ASKED])


def test_a_unit_that_ended_is_no_longer_waited_for() -> None:
    conversation, manager = talk()
    names = [f"u{number}.service" for number in range(MOST_ASKED + 2)]
    for name in names:
        manager.tell(conversation, name, "active")
    manager.listen(conversation)
    *_, ended, lasting = names
    manager.tell(conversation, ended, "inactive")
    manager.refuse(conversation, names[0])
    manager.listen(conversation)
    assert manager.asked[MOST_ASKED:] == [lasting]
    manager.tell(conversation, names[1], "inactive")
    assert manager.locate(conversation, names[1], "/u1") == []


def test_units_that_ended_between_two_conversations() -> None:
    first, manager = talk(units={"stays.service": "active", "goes.service": "active"})
    manager.locate(first, "stays.service", "/stays")
    manager.locate(first, "goes.service", "/goes")
    second = Conversation(bus=True, units=first.units)
    manager.units = {"stays.service": "active"}
    assert manager.begin(second) == [
        News(Unit("stays.service", "active"), b"/stays"),
        News(Unit("goes.service", "inactive"), b"/goes"),
    ]
    assert second.units.keys() == {"stays.service"}


def test_a_unit_that_appears_during_the_listing_is_kept() -> None:
    conversation, manager = Conversation(bus=False, units={}), Manager(bus=False)
    conversation.outgoing.clear()
    list(conversation.receive(OK))
    (call,) = manager.listen(conversation)
    manager.tell(conversation, "new.service", "active")
    list(conversation.receive(manager.listing(call.header.serial)))
    assert conversation.units.keys() == {"new.service"}


def test_systemd_leaves_the_bus() -> None:
    conversation, _ = talk()
    fields = {"interface": BUS, "member": "NameOwnerChanged", "path": "/org/freedesktop/DBus"}
    change = message("sss", (SYSTEMD, ":1.7", ""), sender=BUS, **fields)
    with pytest.raises(BrokenError, match="left the bus"):
        list(conversation.receive(change))


def test_a_beginning_that_fails() -> None:
    conversation, manager = Conversation(bus=False, units={}), Manager(bus=False)
    conversation.outgoing.clear()
    list(conversation.receive(OK))
    (call,) = manager.listen(conversation)
    manager._serials["x"] = call.header.serial
    with pytest.raises(BrokenError, match="NoSuchUnit"):
        manager.refuse(conversation, "x")


def test_a_path_of_another_type() -> None:
    conversation, manager = talk(units={"a.service": "active"})
    serial = manager._serials["a.service"]
    with pytest.raises(BrokenError):
        list(conversation.receive(reply(serial, "v", (("u", 5),), sender=manager.sender)))


def test_serials_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST_SERIAL", 10)
    conversation, manager = talk()
    for number in range(30):
        manager.tell(conversation, "a.service", "active")
        manager.listen(conversation)
        path = f"/{number}"
        news = [News(Unit("a.service", "active"), path.encode())]
        assert manager.locate(conversation, "a.service", path) == news


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_it_does_not_matter_how_bytes_are_grouped(cuts: list[int]) -> None:
    conversation, manager = talk(bus=False, units={"a.service": "active"})
    manager.locate(conversation, "a.service", "/a")
    states = ["deactivating", "active", "failed"]
    said = b"".join(manager.change("a.service", {"ActiveState": ("s", s)}) for s in states)
    news: list[News] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        news += conversation.receive(said[begin:end])
    assert news == [News(Unit("a.service", state), b"/a") for state in states]
