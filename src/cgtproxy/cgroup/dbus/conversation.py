"""What we say to one of systemd's managers and what its answers mean, without the socket.

A unit's signals only tell when to ask: for its cgroup's path, which no signal has. Asking about a
unit that is not loaded loads it, which is a signal again; so only units that said they live are
asked about. News of its loading (UnitNew) and unloading (UnitRemoved) is not even received: a
daemon-reload sends both for every unit, and means neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cgtproxy.cgroup.dbus.names import (
    BUS,
    BUS_PATH,
    ENDED,
    MANAGER,
    MANAGER_PATH,
    PATTERNS,
    PROPERTIES,
    STATES,
    SYSTEMD,
    UNIT,
    UNIT_PATH,
    interface,
    is_state,
    unit_name,
    unit_path,
)
from cgtproxy.cgroup.tree import Unit
from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime.dbus import wire
from cgtproxy.runtime.dbus.stream import Stream, greeting

MOST_ASKED = 32  # questions in flight: PID 1's time is not ours to take
# More at once are a mistake, or an attack on our memory.
MOST_UNITS = 1 << 14
LONGEST_PATH = 1024

_LAST_SERIAL = 2**32 - 1
_ODD = {b"", b".", b".."}  # no names of cgroups
_SIGNAL = f"type='signal',sender='{SYSTEMD}'"
_MATCHES = (
    f"{_SIGNAL},interface='{PROPERTIES}',member='PropertiesChanged',"
    f"path_namespace='{UNIT_PATH[:-1]}',arg0='{UNIT}'",
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'",
)


class BrokenError(CgtproxyError):
    """The conversation has to begin anew."""


class News(NamedTuple):
    """Look at this path (in systemd's view of the hierarchy): `unit` lives there, or did."""

    unit: Unit
    path: bytes


class Conversation:
    """With a manager by the system bus if `bus`, else directly.

    `units` are those that live, with their paths, empty until known; given are those that lived
    when an earlier conversation broke. `outgoing` is for the socket to send; it is bounded, since
    what is asked is.
    """

    def __init__(self, *, bus: bool, units: dict[str, News]) -> None:
        self._bus = bus
        self._stream = Stream()
        self._serial = 0
        self._begun = False
        self._owner = ""
        self._awaited: dict[int, str] = {}  # answers to what begins it all, by serial
        self._asked: dict[int, str] = {}  # answers about units, by serial
        self._to_ask: dict[str, None] = {}
        self.units = units
        self._unheard = set(units)
        self.listed = False
        self.outgoing = bytearray(greeting())

    @property
    def settled(self) -> bool:
        """Whether everything that is known to live has been asked about."""
        return self.listed and not self._to_ask and not self._asked

    def receive(self, data: bytes) -> Iterator[News]:
        """Raises CgtproxyError where the conversation cannot go on."""
        try:
            for message in self._stream.receive(data):
                yield from self._take(message)
        except wire.MALFORMED as error:
            raise BrokenError(f"an invalid message: {error}") from error
        if self._stream.agreed and not self._begun:
            self._begin()
        self._ask()

    def _begin(self) -> None:
        self._begun = True
        if self._bus:
            self._start(BUS, BUS_PATH, f"{BUS}.Hello")
            for match in _MATCHES:
                self._start(BUS, BUS_PATH, f"{BUS}.AddMatch", match)
            self._start(SYSTEMD, MANAGER_PATH, f"{MANAGER}.Subscribe")
        # Whoever is connected to a manager directly gets its signals unasked.
        self._start(SYSTEMD, MANAGER_PATH, f"{MANAGER}.ListUnitsByPatterns", STATES, PATTERNS)

    def _start(self, to: str, path: str, member: str, *arguments: str | list[str]) -> None:
        self._awaited[self._call(to, path, member, *arguments)] = member

    def _call(self, to: str, path: str, member: str, *arguments: str | list[str]) -> int:
        self._serial = self._serial % _LAST_SERIAL + 1
        self.outgoing += wire.call(self._serial, to if self._bus else "", path, member, *arguments)
        return self._serial

    def _ask(self) -> None:
        while self._to_ask and len(self._asked) < MOST_ASKED:
            name = next(iter(self._to_ask))
            del self._to_ask[name]
            arguments = (interface(name), "ControlGroup")
            serial = self._call(SYSTEMD, unit_path(name), f"{PROPERTIES}.Get", *arguments)
            self._asked[serial] = name

    def _take(self, message: wire.Message) -> Iterator[News]:
        if message.kind == wire.SIGNAL:
            yield from self._take_signal(message)
        elif member := self._awaited.pop(message.reply_to, ""):
            if message.kind == wire.ERROR:
                raise BrokenError(f"{member}: {message.error[:100]!r}")
            if member.endswith("Subscribe"):
                self._owner = message.sender
            elif member.endswith("ListUnitsByPatterns"):
                self.listed = True
                yield from self._take_listing(message.body)
        else:
            name = self._asked.pop(message.reply_to, "")
            # An error means that the unit went away meanwhile.
            if message.kind == wire.REPLY and name in self.units:
                yield from self._located(name, message.body)

    def _take_signal(self, message: wire.Message) -> Iterator[News]:
        if message.sender == BUS and message.member == "NameOwnerChanged":
            raise BrokenError("systemd left the bus or came back to it")
        if self._bus and message.sender != self._owner:
            return  # anybody on the bus can send signals to us
        if message.member == "PropertiesChanged" and (name := unit_name(message.path)):
            body = message.body
            if body.text() == UNIT and (state := _active_state(body)):
                yield from self._changed(name, state)

    def _changed(self, name: str, state: str) -> Iterator[News]:
        if not interface(name) or not is_state(state):
            return
        self._unheard.discard(name)
        known = self.units.pop(name, None)
        path = known.path if known else b""
        if state in ENDED:
            self._to_ask.pop(name, None)
        else:
            if len(self.units) >= MOST_UNITS:
                raise BrokenError(f"there are more than {MOST_UNITS} units")
            self.units[name] = News(Unit(name, state), path)
            self._to_ask[name] = None
        if path:
            # Where it was is looked at now, where it is once that is known: PID 1 answers late.
            yield News(Unit(name, state), path)

    def _take_listing(self, body: wire.Reader) -> Iterator[News]:
        end = body.array("(")
        while body.at < end:
            body.align(8)
            name = body.text()
            body.skip("ss")
            state = body.text()
            body.skip("ssouso")
            yield from self._changed(name, state)
        for name in sorted(self._unheard):
            yield from self._changed(name, ENDED[0])

    def _located(self, name: str, body: wire.Reader) -> Iterator[News]:
        if body.signature() != "s":
            raise BrokenError(f"the path of {name} is no text")
        path = body.text().encode()
        unit = self.units[name].unit
        start, *names = path.split(b"/")
        if names and not start and len(path) <= LONGEST_PATH and _ODD.isdisjoint(names):
            self.units[name] = News(unit, path)
            yield self.units[name]


def _active_state(body: wire.Reader) -> str:
    """Of the properties that changed (`a{sv}`); systemd always sends a unit's state along."""
    end = body.array("{")
    while body.at < end:
        body.align(8)
        name = body.text()
        if name == "ActiveState":
            return body.text() if body.signature() == "s" else ""
        body.skip("v")
    return ""
