"""Netlink's bytes: what is encoded comes back, and no bytes at all do harm."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.runtime.netlink import wire
from cgtproxy.runtime.netlink.wire import Message

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
TYPES = st.integers(0, wire.NLA_TYPE_MASK)
ATTRIBUTES = st.lists(st.tuples(TYPES, st.binary(max_size=40)), max_size=6)
MESSAGES = st.lists(st.tuples(U16, U16, st.binary(max_size=40), U32), max_size=6)


def encoded(attributes: list[tuple[int, bytes]]) -> list[bytes]:
    return [wire.attribute(kind, payload) for kind, payload in attributes]


@given(ATTRIBUTES)
def test_attributes_come_back(attributes: list[tuple[int, bytes]]) -> None:
    data = b"".join(encoded(attributes))
    assert len(data) % 4 == 0
    assert list(wire.parse_attributes(data)) == attributes


@given(ATTRIBUTES, st.binary(max_size=20))
def test_attributes_behind_a_header_come_back(
    attributes: list[tuple[int, bytes]], header: bytes
) -> None:
    data = header + b"".join(encoded(attributes))
    assert list(wire.parse_attributes(data, len(header))) == attributes


@given(TYPES, TYPES, ATTRIBUTES)
def test_nested_attributes_come_back(
    outer: int, inner: int, attributes: list[tuple[int, bytes]]
) -> None:
    data = wire.nested(outer, wire.nested(inner, *encoded(attributes)))
    assert struct.unpack_from("=H", data, 2)[0] & wire.NLA_F_NESTED
    ((kind, payload),) = wire.parse_attributes(data)
    ((kind_inside, payload_inside),) = wire.parse_attributes(payload)
    assert (kind, kind_inside) == (outer, inner)
    assert list(wire.parse_attributes(payload_inside)) == attributes


@given(MESSAGES)
def test_messages_come_back(messages: list[tuple[int, int, bytes, int]]) -> None:
    data = b"".join(wire.message(kind, flags, body, seq) for kind, flags, body, seq in messages)
    assert len(data) % 4 == 0
    assert list(wire.parse_messages(data)) == [
        Message(kind, flags, seq, 0, body) for kind, flags, body, seq in messages
    ]


@given(MESSAGES, st.data())
def test_of_a_truncated_datagram_the_whole_messages_come_back(
    messages: list[tuple[int, int, bytes, int]], data: st.DataObject
) -> None:
    sent, ends = b"", []
    for kind, flags, body, seq in messages:
        ends.append(len(sent) + 16 + len(body))  # where its padding begins
        sent += wire.message(kind, flags, body, seq)
    length = data.draw(st.integers(0, len(sent)))
    parsed = [message.body for message in wire.parse_messages(sent[:length])]
    assert parsed == [m[2] for m, end in zip(messages, ends, strict=True) if end <= length]


@given(st.binary(max_size=200))
def test_no_bytes_raise_or_hang(data: bytes) -> None:
    for message in wire.parse_messages(data):
        list(wire.parse_attributes(message.body))
        wire.parse_ack(message)
    list(wire.parse_attributes(data))


@given(MESSAGES.filter(bool), st.data())
def test_a_flipped_byte_raises_and_hangs_nowhere(
    messages: list[tuple[int, int, bytes, int]], data: st.DataObject
) -> None:
    sent = bytearray().join(wire.message(k, f, b, s) for k, f, b, s in messages)
    place = data.draw(st.integers(0, len(sent) - 1))
    sent[place] ^= data.draw(st.integers(1, 255))
    assert len(list(wire.parse_messages(bytes(sent)))) <= len(sent) // 16


@pytest.mark.parametrize("length", range(4))
def test_an_attribute_shorter_than_its_header_ends_the_list(length: int) -> None:
    good = wire.attribute(1, b"abcd")
    assert list(wire.parse_attributes(good + struct.pack("=HH", length, 2))) == [(1, b"abcd")]


@pytest.mark.parametrize("length", [0, 4, 15])
def test_a_message_shorter_than_its_header_ends_the_datagram(length: int) -> None:
    good = wire.message(5, 0, b"abcd")
    bad = struct.pack("=IHHII", length, 2, 0, 0, 0)
    assert list(wire.parse_messages(good + bad + good)) == [Message(5, 0, 0, 0, b"abcd")]


def test_the_longest_attribute_and_one_byte_more() -> None:
    longest = bytes(0xFFFF - 4)
    assert list(wire.parse_attributes(wire.attribute(3, longest))) == [(3, longest)]
    with pytest.raises(ValueError, match="attribute 3 of 65536 bytes"):
        wire.attribute(3, longest + b"x")


def test_numbers_have_the_byte_order_of_their_family() -> None:
    """rtnetlink the host's, nfnetlink the network's."""
    assert wire.be32(1, 0x01020304) == struct.pack("=HH", 8, 1) + bytes((1, 2, 3, 4))
    assert wire.be32(1, -5)[4:] == struct.pack(">i", -5)
    assert wire.u32(1, 0x01020304)[4:] == struct.pack("=I", 0x01020304)
    assert wire.u8(1, 7) == struct.pack("=HH", 5, 1) + b"\x07\0\0\0"
    assert wire.string(1, "ab") == struct.pack("=HH", 7, 1) + b"ab\0\0"


REQUEST = wire.message(24, wire.NLM_F_REQUEST, b"sixteen bytes...", 7)
TEXT = wire.attribute(wire.NLMSGERR_ATTR_MSG, b"no such chain\0")
OFFSET = wire.attribute(2, bytes(4))


def answer(code: int, flags: int, rest: bytes, kind: int = wire.NLMSG_ERROR) -> Message:
    return Message(kind, flags, 7, 0, struct.pack("=i", -code) + rest)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param(answer(0, 0x100, REQUEST[:16]), (0, ""), id="success"),
        pytest.param(answer(errno.ENOENT, 0, REQUEST), (errno.ENOENT, ""), id="error"),
        pytest.param(
            answer(errno.ENOENT, 0x200, REQUEST + OFFSET + TEXT),
            (errno.ENOENT, "no such chain"),
            id="text after the whole request",
        ),
        pytest.param(
            answer(errno.ENOENT, 0x300, REQUEST[:16] + TEXT),
            (errno.ENOENT, "no such chain"),
            id="text after the header of the request",
        ),
        pytest.param(
            answer(errno.EINVAL, 0x200, TEXT, wire.NLMSG_DONE),
            (errno.EINVAL, "no such chain"),
            id="text at the end of a dump",
        ),
        pytest.param(
            answer(errno.EPERM, 0x300, REQUEST[:16] + TEXT[:-8]), (errno.EPERM, ""), id="cut text"
        ),
        pytest.param(answer(errno.EPERM, 0x200, b""), (errno.EPERM, ""), id="nothing but errno"),
        pytest.param(Message(2, 0x200, 7, 0, b"\0"), (errno.EBADMSG, ""), id="no errno"),
    ],
)
def test_acknowledgement(given: wire.Message, wanted: tuple[int, str]) -> None:
    assert wire.parse_ack(given) == (wanted[0], 7, wanted[1])


def test_text_that_is_not_utf8_is_shown_all_the_same() -> None:
    text = wire.attribute(wire.NLMSGERR_ATTR_MSG, b"bad \xff\0")
    assert wire.parse_ack(answer(1, 0x300, REQUEST[:16] + text)).text == "bad �"
