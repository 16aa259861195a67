"""A service manager's side of a conversation, as a script: it speaks by means of jeepney."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jeepney.low_level import (
    Endianness,
    Header,
    HeaderFields,
    Message,
    MessageFlag,
    MessageType,
    Parser,
)

from cgtproxy.cgroup.dbus.conversation import Conversation, News
from cgtproxy.cgroup.dbus.names import BUS, SYSTEMD, UNIT, unit_path
from cgtproxy.runtime.dbus.stream import greeting

OWNER = ":1.7"
OK = b"OK 0123456789abcdef0123456789abcdef\r\n"


class Manager:
    """`units` is what it lists, `asked` the names of the units that it was asked about."""

    def __init__(self, *, bus: bool, units: Mapping[str, str] | None = None) -> None:
        self.bus = bus
        self.sender = OWNER if bus else SYSTEMD  # nobody's name where there is no bus
        self.units = units or {}
        self.asked: list[str] = []
        self.heard: list[str] = []
        self._serials: dict[str, int] = {}
        self._parser = Parser()

    def begin(self, conversation: Conversation) -> list[News]:
        """From the handshake to the listing of the units."""
        assert bytes(conversation.outgoing) == greeting()
        conversation.outgoing.clear()
        news = list(conversation.receive(OK))
        return news + self.answer(conversation)

    def listen(self, conversation: Conversation) -> list[Message]:
        calls: list[Message] = self._parser.feed(bytes(conversation.outgoing))
        conversation.outgoing.clear()
        for call in calls:
            member = call.header.fields[HeaderFields.member]
            self.heard.append(member)
            if member == "Get":
                path = call.header.fields[HeaderFields.path]
                name = bytes(path.rpartition("/")[2], "ascii")
                self._serials[unescape(name)] = call.header.serial
                self.asked.append(unescape(name))
        return calls

    def answer(self, conversation: Conversation) -> list[News]:
        """Answer all that is not about single units."""
        news: list[News] = []
        for call in self.listen(conversation):
            member, serial = call.header.fields[HeaderFields.member], call.header.serial
            if member == "ListUnitsByPatterns":
                news += conversation.receive(self.listing(serial))
            elif member != "Get":
                sender = self.sender if member == "Subscribe" else BUS
                news += conversation.receive(reply(serial, sender=sender))
        self.listen(conversation)
        return news

    def listing(self, serial: int) -> bytes:
        rows = [
            (name, "Description", "loaded", state, "running", "", "/unit", 0, "", "/")
            for name, state in self.units.items()
        ]
        return reply(serial, "a(ssssssouso)", (rows,), sender=self.sender)

    def locate(self, conversation: Conversation, name: str, path: str) -> list[News]:
        body = (("s", path),)
        return list(
            conversation.receive(reply(self._serials.pop(name), "v", body, sender=self.sender))
        )

    def refuse(self, conversation: Conversation, name: str) -> list[News]:
        return list(conversation.receive(error(self._serials.pop(name), sender=self.sender)))

    def tell(self, conversation: Conversation, name: str, state: str) -> list[News]:
        """The change of a unit's state."""
        changed = {"Job": ("(uo)", (0, "/")), "ActiveState": ("s", state), "Since": ("t", 5)}
        return list(conversation.receive(self.change(name, changed)))

    def change(self, name: str, changed: dict[str, Any], interface: str = UNIT) -> bytes:
        return message(
            "sa{sv}as",
            (interface, changed, []),
            path=unit_path(name),
            interface="org.freedesktop.DBus.Properties",
            member="PropertiesChanged",
            sender=self.sender,
        )


def message(
    signature: str,
    body: tuple[Any, ...],
    order: Endianness = Endianness.little,
    kind: MessageType = MessageType.signal,
    **fields: Any,
) -> bytes:
    """A message as jeepney writes it."""
    given_fields = {HeaderFields[name]: value for name, value in fields.items()}
    if signature:
        given_fields[HeaderFields.signature] = signature
    header = Header(order, kind, MessageFlag(0), 1, -1, 7, given_fields)
    data: bytes = Message(header, body).serialise()
    return data


def talk(bus: bool = True, units: dict[str, str] | None = None) -> tuple[Conversation, Manager]:
    """A conversation that has come to its listing."""
    conversation, manager = Conversation(bus=bus, units={}), Manager(bus=bus, units=units)
    manager.begin(conversation)
    assert conversation.listed
    return conversation, manager


class Server:
    """A manager at a socket, in a thread: lists `states`, answers with `paths`, tells changes."""

    def __init__(self, path: Path, *, bus: bool) -> None:
        self.states: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self.manager = Manager(bus=bus)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._peers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def live(self, unit: str, path: str, state: str = "active") -> None:
        """A unit lives, or changes, and its path is this one from now on."""
        self.states[unit], self.paths[unit] = state, path
        self.tell(unit, state)

    def tell(self, unit: str, state: str) -> None:
        for peer in self._peers:
            peer.sendall(self.manager.change(unit, {"ActiveState": ("s", state)}))

    def close(self) -> None:
        for open_ in (self._socket, *self._peers):
            open_.shutdown(socket.SHUT_RDWR)
            open_.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        assert peer.recv(1000).endswith(b"BEGIN\r\n")
        peer.sendall(OK)
        parser = Parser()
        with suppress(OSError):
            while data := peer.recv(1 << 16):
                for call in parser.feed(data):
                    self._answer(peer, call)

    def _answer(self, peer: socket.socket, call: Message) -> None:
        fields, serial = call.header.fields, call.header.serial
        match fields[HeaderFields.member]:
            case "ListUnitsByPatterns":
                self.manager.units = self.states
                self._peers.append(peer)
                peer.sendall(self.manager.listing(serial))
            case "Get":
                unit = unescape(fields[HeaderFields.path].rpartition("/")[2].encode())
                variant = (("s", self.paths[unit]),)
                peer.sendall(reply(serial, "v", variant, sender=self.manager.sender))
            case _:
                peer.sendall(reply(serial, sender=self.manager.sender))


def reply(serial: int, signature: str = "", body: tuple[Any, ...] = (), *, sender: str) -> bytes:
    kind = MessageType.method_return
    return message(signature, body, kind=kind, reply_serial=serial, sender=sender)


def error(serial: int, *, sender: str) -> bytes:
    name = "org.freedesktop.systemd1.NoSuchUnit"
    kind = MessageType.error
    return message("s", ("no",), kind=kind, reply_serial=serial, error_name=name, sender=sender)


def unescape(name: bytes) -> str:
    """sd-bus's label escaping, undone in its own way."""
    first, *rest = name.split(b"_")
    parts = [bytes([int(part[:2], 16)]) + part[2:] for part in rest]
    return b"".join([first, *parts]).decode()
