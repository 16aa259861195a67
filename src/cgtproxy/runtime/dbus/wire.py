"""D-Bus messages as bytes (D-Bus Specification, "Message Protocol").

The peer may be a user's own program. So a length is checked before it is believed, nothing is
decoded that nobody asks for, and an array is skipped in one step, whatever its signature says: a
decoder that trusts `a()` (elements of no size) never ends.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from cgtproxy.errors import CgtproxyError

CALL, REPLY, ERROR, SIGNAL = 1, 2, 3, 4
_NO_AUTO_START = 2
_VERSION = 1

HEAD = 16  # bytes that tell how long a message is
LONGEST = 1 << 24  # bytes; the listing of 40,000 units
_DEEPEST = 64  # containers in containers, as the specification has it

_SIZES = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "h": 4}
_ALIGNMENTS = _SIZES | {"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8}
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER, _SIGNATURE = range(
    1, 9
)


class WireError(CgtproxyError):
    """What came is not D-Bus."""


class Message(NamedTuple):
    """A message that came; text is empty, and `reply_to` 0, where its header lacks the field."""

    kind: int
    reply_to: int
    path: str
    interface: str
    member: str
    error: str
    sender: str
    signature: str
    body: Reader


class Reader:
    """Takes values out of a message in turn. Raises what MALFORMED lists."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._u32 = _order(data)
        self.at = at

    def align(self, size: int) -> None:
        """Skip the padding before a value that is aligned to `size` bytes."""
        self.at += -self.at % size

    def number(self) -> int:
        """The next UINT32."""
        self.align(4)
        value: int = self._u32.unpack_from(self._data, self.at)[0]
        self.at += 4
        return value

    def text(self) -> str:
        """The next STRING or OBJECT_PATH."""
        return self._text(self.number())

    def signature(self) -> str:
        """The next SIGNATURE, whose length is one byte."""
        self.at += 1
        return self._text(self._data[self.at - 1])

    def array(self, element: str) -> int:
        """Enter an array whose elements begin like `element`; where it ends."""
        length = self.number()
        self.align(_ALIGNMENTS[element[0]])
        if length > len(self._data) - self.at:
            raise WireError("an array is longer than its message")
        return self.at + length

    def skip(self, types: str, depth: int = 0) -> None:
        """Pass over values of these types."""
        place = 0
        while place < len(types):
            place = self._skip_one(types, place, depth)

    def _skip_one(self, types: str, place: int, depth: int) -> int:
        if depth > _DEEPEST:
            raise WireError("values are nested too deeply")
        kind = types[place]
        if size := _SIZES.get(kind):
            self.align(size)
            self.at += size
        elif kind in "so":
            self.text()
        elif kind == "g":
            self.signature()
        elif kind == "v":
            self.skip(self.signature(), depth + 1)
        elif kind == "a":
            end = _after(types, place)
            self.at = self.array(types[place + 1])
            return end
        elif kind in "({":
            self.align(8)
            place += 1
            while types[place] not in ")}":
                place = self._skip_one(types, place, depth + 1)
        else:
            raise WireError(f"unknown type {kind!r}")
        return place + 1

    def _text(self, length: int) -> str:
        start, end = self.at, self.at + length
        if end >= len(self._data):
            raise WireError("text is longer than its message")
        self.at = end + 1
        return self._data[start:end].decode()


# What reading nonsense raises.
MALFORMED = (WireError, struct.error, IndexError, KeyError, UnicodeDecodeError)


def length(head: bytes) -> int:
    """How long a message is that begins with these HEAD bytes."""
    u32 = _order(head)
    body, fields = u32.unpack_from(head, 4)[0], u32.unpack_from(head, 12)[0]
    size: int = HEAD + fields + -fields % 8 + body
    if head[3] != _VERSION or size > LONGEST:
        raise WireError(f"not a D-Bus message, or one of {size} bytes")
    return size


def parse(data: bytes) -> Message:
    """One whole message: its header, and a reader that stands at its body."""
    reader = Reader(data, HEAD - 4)
    end = reader.array("(")
    fields: dict[int, str] = {}
    reply_to = 0
    while reader.at < end:
        reader.align(8)
        code = data[reader.at]
        reader.at += 1
        types = reader.signature()
        if types in ("s", "o"):
            fields[code] = reader.text()
        elif types == "g":
            fields[code] = reader.signature()
        elif types == "u" and code == _REPLY_SERIAL:
            reply_to = reader.number()
        else:
            reader.skip(types)
    reader.align(8)
    get = fields.get
    return Message(
        data[1],
        reply_to,
        get(_PATH, ""),
        get(_INTERFACE, ""),
        get(_MEMBER, ""),
        get(_ERROR_NAME, ""),
        get(_SENDER, ""),
        get(_SIGNATURE, ""),
        Reader(data, reader.at),
    )


def call(
    serial: int, destination: str, path: str, member: str, *arguments: str | list[str]
) -> bytes:
    """A method call; `member` with its interface, arguments of type `s` or `as`."""
    interface, _, method = member.rpartition(".")
    signature = "".join("s" if isinstance(a, str) else "as" for a in arguments)
    texts = ((_PATH, "o", path), (_INTERFACE, "s", interface), (_MEMBER, "s", method))
    fields = b""
    for code, kind, text in (*texts, (_DESTINATION, "s", destination)):
        if text:
            fields = _aligned(fields, 8) + bytes((code, 1)) + kind.encode() + b"\0" + _text(text)
    if signature:
        name = signature.encode()
        fields = _aligned(fields, 8) + bytes((_SIGNATURE, 1)) + b"g\0" + bytes((len(name),))
        fields += name + b"\0"
    body = b""
    for argument in arguments:
        body = _aligned(body, 4) + (
            _text(argument) if isinstance(argument, str) else _list(argument)
        )
    head = struct.pack(
        "<cBBBIII", b"l", CALL, _NO_AUTO_START, _VERSION, len(body), serial, len(fields)
    )
    return _aligned(head + fields, 8) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _list(texts: list[str]) -> bytes:
    data = b""
    for text in texts:
        data = _aligned(data, 4) + _text(text)
    return struct.pack("<I", len(data)) + data


def _aligned(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def _order(data: bytes) -> struct.Struct:
    if data[:1] == b"l":
        return _LITTLE
    if data[:1] == b"B":
        return _BIG
    raise WireError("not a D-Bus message")


_LITTLE, _BIG = struct.Struct("<I"), struct.Struct(">I")


def _after(types: str, place: int) -> int:
    """Where the single type that begins at `place` ends."""
    while types[place] == "a":
        place += 1
    depth = 0
    while True:
        depth += (types[place] in "({") - (types[place] in ")}")
        place += 1
        if depth <= 0:
            return place
