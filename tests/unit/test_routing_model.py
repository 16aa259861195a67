"""Our rules and routes, told apart from everybody else's."""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import Config, Tproxy
from cgtproxy.routing import model
from cgtproxy.routing.model import Entry, Families, IpRule, Route, decode, encode, wanted
from cgtproxy.runtime.netlink.wire import Message, attribute, parse_attributes, u32

FAMILIES = st.sampled_from([AF_INET, AF_INET6])
U32 = st.integers(1, 2**32 - 1)
ENTRIES = st.builds(IpRule, FAMILIES, U32, U32, U32) | st.builds(Route, FAMILIES, U32)

HEADER = struct.Struct("=BBBBBBBBI")
NAMES = ("family", "to", "source", "tos", "table", "protocol", "scope", "action", "flags")


def told(entry: Entry, kind: int = 0, extra: bytes = b"", **header: int) -> Message:
    """What the kernel tells of an entry, but for what is given here."""
    body = encode(entry)
    fields = dict(zip(NAMES, HEADER.unpack_from(body), strict=True)) | header
    rule = isinstance(entry, IpRule)
    kind = kind or (model.RTM_NEWRULE if rule else model.RTM_NEWROUTE)
    always = u32(14, 0xFFFFFFFF) if rule else b""  # FRA_SUPPRESS_PREFIXLEN: none
    changed = b"".join([*replaced(body[HEADER.size :] + always, extra), extra])
    return Message(kind, 0, 0, 0, HEADER.pack(*fields.values()) + changed)


def replaced(attributes: bytes, by: bytes) -> list[bytes]:
    kinds = dict(parse_attributes(by))
    kept = [(kind, data) for kind, data in parse_attributes(attributes) if kind not in kinds]
    return [attribute(kind, data) for kind, data in kept]


@given(ENTRIES, st.booleans())
def test_what_is_added_or_deleted_is_recognized(entry: Entry, deleted: bool) -> None:
    add, delete = (
        (model.RTM_NEWRULE, model.RTM_DELRULE)
        if isinstance(entry, IpRule)
        else (model.RTM_NEWROUTE, model.RTM_DELROUTE)
    )
    assert decode(told(entry, delete if deleted else add)) == entry


RULE = IpRule(AF_INET, 1000, 0x1234, 300)
ROUTE = Route(AF_INET6, 300)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(told(RULE, extra=attribute(21, b"\x04")), id="another protocol"),
        pytest.param(told(RULE, extra=attribute(21, b"")), id="no protocol"),
        pytest.param(told(RULE, extra=u32(16, 0xFF)), id="a mask"),
        pytest.param(told(RULE, extra=u32(16, 0)), id="no mask"),
        pytest.param(told(RULE, flags=2), id="inverted"),
        pytest.param(told(RULE, to=8), id="to"),
        pytest.param(told(RULE, source=8), id="from"),
        pytest.param(told(RULE, tos=4), id="tos"),
        pytest.param(told(RULE, action=3), id="nop"),
        pytest.param(told(RULE, action=6), id="blackhole"),
        pytest.param(told(RULE, extra=attribute(3, b"eth0\0")), id="iif"),
        pytest.param(told(RULE, extra=attribute(17, b"eth0\0")), id="oif"),
        pytest.param(told(RULE, extra=attribute(12, bytes(8))), id="tunnel"),
        pytest.param(told(RULE, extra=attribute(19, b"\x01")), id="l3mdev"),
        pytest.param(told(RULE, extra=struct.pack("=HHII", 12, 20, 0, 999)), id="uidrange"),
        pytest.param(told(RULE, extra=attribute(22, b"\x06")), id="ipproto"),
        pytest.param(told(RULE, extra=struct.pack("=HHHH", 8, 23, 1, 9)), id="sport"),
        pytest.param(told(RULE, extra=struct.pack("=HHHH", 8, 24, 1, 9)), id="dport"),
        pytest.param(told(RULE, extra=u32(14, 0)), id="suppress_prefixlength"),
        pytest.param(told(RULE, extra=u32(13, 1)), id="suppress_ifgroup"),
        pytest.param(told(ROUTE, protocol=4), id="another protocol's route"),
        pytest.param(told(ROUTE, action=1), id="unicast"),
        pytest.param(told(ROUTE, to=64), id="not the default route"),
        pytest.param(told(ROUTE, source=64), id="a route for some sources"),
        pytest.param(told(ROUTE, tos=4), id="a route for a tos"),
        pytest.param(told(ROUTE, extra=u32(4, 2)), id="another interface"),
        pytest.param(Message(16, 0, 0, 0, encode(ROUTE)), id="news of a link"),
        pytest.param(Message(model.RTM_NEWROUTE, 0, 0, 0, b""), id="nothing"),
        pytest.param(Message(model.RTM_NEWRULE, 0, 0, 0, bytes(11)), id="half a header"),
        pytest.param(Message(model.RTM_NEWRULE, 0, 0, 0, bytes(12)), id="a header alone"),
    ],
)
def test_anybody_elses_is_not_ours(message: Message) -> None:
    assert decode(message) is None


def test_a_table_below_256_may_stand_in_the_header_alone() -> None:
    for entry in (RULE._replace(table=100), ROUTE._replace(table=100)):
        body = encode(entry)
        (kind,) = (k for k, data in parse_attributes(body, 12) if data == struct.pack("=I", 100))
        rest = [(k, data) for k, data in parse_attributes(body, 12) if k != kind]
        header = HEADER.pack(*(100 if n == "table" else v for n, v in header_of(body)))
        message = told(entry)
        body = header + b"".join(attribute(k, data) for k, data in rest)
        assert decode(message._replace(body=body)) == entry


def header_of(body: bytes) -> Any:
    return zip(NAMES, HEADER.unpack_from(body), strict=True)


@given(ENTRIES, st.data())
def test_a_cut_message_is_harmless(entry: Entry, data: st.DataObject) -> None:
    message = told(entry)
    length = data.draw(st.integers(0, len(message.body)))
    decode(message._replace(body=message.body[:length]))


CONFIG = Config(None, 300, 5, tproxies=(Tproxy("a", 1, 7), Tproxy("b", 2, 8)))


@pytest.mark.parametrize(
    ("known", "on_loopback", "entries"),
    [
        (
            {AF_INET, AF_INET6},
            {AF_INET, AF_INET6},
            {
                Route(AF_INET, 300),
                Route(AF_INET6, 300),
                IpRule(AF_INET, 5, 7, 300),
                IpRule(AF_INET, 5, 8, 300),
                IpRule(AF_INET6, 5, 7, 300),
                IpRule(AF_INET6, 5, 8, 300),
            },
        ),
        (
            {AF_INET},
            {AF_INET},
            {Route(AF_INET, 300), IpRule(AF_INET, 5, 7, 300), IpRule(AF_INET, 5, 8, 300)},
        ),
        (
            {AF_INET, AF_INET6},
            {AF_INET},
            {
                Route(AF_INET, 300),
                IpRule(AF_INET, 5, 7, 300),
                IpRule(AF_INET, 5, 8, 300),
                IpRule(AF_INET6, 5, 7, 300),
                IpRule(AF_INET6, 5, 8, 300),
            },
        ),
    ],
)
def test_wanted(known: set[int], on_loopback: set[int], entries: set[Entry]) -> None:
    families = Families(known=frozenset(known), on_loopback=frozenset(on_loopback))
    assert wanted(CONFIG, families) == entries


def test_without_a_tproxy_nothing_is_wanted() -> None:
    families = Families(known=frozenset({AF_INET}), on_loopback=frozenset({AF_INET}))
    assert wanted(Config(None, 300), families) == set()


def test_as_people_know_them() -> None:
    assert str(RULE) == "IPv4 rule 1000: fwmark 0x1234 lookup 300"
    assert str(ROUTE) == "IPv6 route local default dev lo table 300"
