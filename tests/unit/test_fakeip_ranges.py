"""From slots to addresses, and back."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import FakePool
from cgtproxy.proxy.fakeip.ranges import Ranges

DEFAULT = Ranges(FakePool())
SMALL = Ranges(FakePool(IPv4Network("10.9.8.0/28"), IPv6Network("fd00:1::/64")))


def test_as_many_places_as_both_networks_have_addresses() -> None:
    assert DEFAULT.size == (1 << 17) - 1
    assert SMALL.size == 15
    assert Ranges(FakePool(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/124"))).size == 16
    assert Ranges(FakePool(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))).size == 1 << 17


@given(st.sampled_from([DEFAULT, SMALL]), st.data())
def test_both_addresses_of_a_place_lead_back_to_it(ranges: Ranges, data: st.DataObject) -> None:
    slot = data.draw(st.integers(1, ranges.size - 1))
    for packed, network in (
        (ranges.address(slot), ranges.pool.network),
        (ranges.address6(slot), ranges.pool.network6),
    ):
        address = ip_address(packed)
        assert address in network
        assert ranges.slot_of(packed) == ranges.slot_of_host(str(address)) == slot


@pytest.mark.parametrize(
    ("host", "slot"),
    [
        ("10.9.7.255", None),
        ("10.9.8.0", 0),
        ("10.9.8.14", 14),
        ("10.9.8.15", 0),
        ("10.9.8.16", None),
        ("fd00:1::", 0),
        ("fd00:1::e", 14),
        ("fd00:1::f", 0),
        ("fd00:1:0:0:ffff:ffff:ffff:ffff", 0),
        ("fd00:1:0:1::", None),
        ("::ffff:10.9.8.1", None),
    ],
)
def test_the_edges_of_a_pool(host: str, slot: int | None) -> None:
    assert SMALL.slot_of_host(host) == slot
