"""Our codec of D-Bus messages beside another one: jeepney."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney.low_level import Endianness, HeaderFields, MessageType, Parser

from cgtproxy.runtime.dbus import wire
from unit.scripted_manager import message

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
U32 = st.integers(0, 2**32 - 1)
BASIC = st.one_of(
    st.tuples(st.just("s"), TEXTS),
    st.tuples(st.just("u"), U32),
    st.tuples(st.just("y"), st.integers(0, 255)),
    st.tuples(st.just("t"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("n"), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just("b"), st.booleans()),
    st.tuples(st.just("d"), st.floats(allow_nan=False)),
    st.tuples(st.just("o"), st.just("/a/b_c")),
    st.tuples(st.just("g"), st.sampled_from(["", "a{sv}", "(ii)"])),
)


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.lists(values, min_size=1, max_size=4)
    return st.one_of(
        values.map(lambda value: ("v", value)),
        fields.map(lambda vs: (f"({''.join(v[0] for v in vs)})", tuple(v[1] for v in vs))),
        st.tuples(values, st.integers(0, 3)).map(lambda p: ("a" + p[0][0], [p[0][1]] * p[1])),
        st.tuples(TEXTS, values).map(lambda p: (f"a{{s{p[1][0]}}}", {p[0]: p[1][1]})),
    )


VALUES = st.recursive(BASIC, _containers, max_leaves=12)
ORDERS = st.sampled_from(list(Endianness))


@given(TEXTS, TEXTS, st.lists(TEXTS | st.lists(TEXTS, max_size=4), max_size=4), U32)
def test_calls_mean_what_they_say(
    destination: str, member: str, arguments: list[str | list[str]], serial: int
) -> None:
    data = wire.call(serial, destination, "/a/b", f"i.face.{member}", *arguments)
    assert wire.length(data[: wire.HEAD]) == len(data)
    (read,) = Parser().feed(data)
    fields = read.header.fields
    assert read.header.message_type == MessageType.method_call
    assert read.header.serial == serial
    assert read.body == tuple(arguments)
    assert fields[HeaderFields.path] == "/a/b"
    assert fields.get(HeaderFields.destination, "") == destination
    interface, _, method = f"i.face.{member}".rpartition(".")
    assert (fields[HeaderFields.interface], fields.get(HeaderFields.member, "")) == (
        interface,
        method,
    )


@given(ORDERS, TEXTS, TEXTS, TEXTS, U32, TEXTS)
def test_messages_are_read(
    order: Endianness, interface: str, member: str, sender: str, serial: int, argument: str
) -> None:
    data = message(
        "us",
        (5, argument),
        order,
        interface=interface,
        member=member,
        sender=sender,
        path="/x",
        reply_serial=serial,
        unix_fds=3,
    )
    assert wire.length(data[: wire.HEAD]) == len(data)
    read = wire.parse(data)
    assert read[:-1] == (wire.SIGNAL, serial, "/x", interface, member, "", sender, "us")
    assert (read.body.number(), read.body.text()) == (5, argument)


@given(ORDERS, st.lists(VALUES, max_size=4))
def test_any_values_can_be_skipped(order: Endianness, values: list[tuple[str, Any]]) -> None:
    signature = "".join(kind for kind, _ in values)
    if len(signature) > 200:
        return
    body = (*(value for _, value in values), "the end")
    reader = wire.parse(message(signature + "s", body, order, path="/")).body
    reader.skip(signature)
    assert reader.text() == "the end"


@given(st.binary(max_size=300), ORDERS)
def test_nonsense_raises_what_is_said(data: bytes, order: Endianness) -> None:
    begin = order.dbus_code() + bytes((4, 0, 1))
    for nonsense in (data, begin + data):
        with suppress(*wire.MALFORMED):
            body = wire.parse(nonsense).body
            body.skip("a(sv)va{sv}")


@given(st.binary(max_size=200), st.text("abdghinoqstuvxy(){}?", max_size=30))
def test_nonsense_of_any_type_is_skipped_or_refused(data: bytes, types: str) -> None:
    with suppress(*wire.MALFORMED):
        wire.Reader(b"l" + data, 1).skip(types)


@given(st.data())
def test_a_message_with_a_changed_byte(data: st.DataObject) -> None:
    whole = bytearray(message("sa{sv}", ("x", {"A": ("s", "b"), "C": ("as", ["d"])}), path="/"))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    with suppress(*wire.MALFORMED):
        body = wire.parse(bytes(whole)).body
        body.text()
        body.skip("a{sv}")


def test_an_array_of_nothing_ends() -> None:
    """Elements of no size: a decoder that counts bytes would find such elements for ever."""
    data = b"l" + bytes(3) + struct.pack("<I", 8) + bytes(8) + struct.pack("<I", 3) + b"end\0"
    reader = wire.Reader(data, 4)
    reader.skip("a()")
    assert reader.text() == "end"


@pytest.mark.parametrize("types", ["(" * 100 + ")" * 100, "v"])
def test_values_nested_too_deeply(types: str) -> None:
    with pytest.raises(wire.WireError, match="nested"):
        wire.Reader(b"l" + b"\1v\0" * 100, 1).skip(types)


@pytest.mark.parametrize(
    "head",
    [
        b"x" + bytes(15),
        b"l\4\0\2" + bytes(12),
        b"l\4\0\1" + struct.pack("<III", 2**32 - 1, 1, 0),
        b"l\4\0\1" + struct.pack("<III", 0, 1, wire.LONGEST),
    ],
    ids=["order", "version", "body", "fields"],
)
def test_heads_that_are_refused(head: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.length(head)


def test_the_longest_message() -> None:
    head = b"l\4\0\1" + struct.pack("<III", wire.LONGEST - wire.HEAD, 1, 0)
    assert wire.length(head) == wire.LONGEST
