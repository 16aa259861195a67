"""Networks as the intervals of the kernel's sets."""

from __future__ import annotations

import sys
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.model import Network
from cgtproxy.nft.model import Element, interval, mark, protocol

NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)),
).map(lambda pair: ip_network(f"{pair[0]}/{pair[1]}", strict=False))


def covers(elements: tuple[Element, ...], address: bytes) -> bool:
    """As the kernel has it: the last element at or before an address tells."""
    before = [element for element in elements if element.key <= address]
    return bool(before) and not max(before, key=lambda element: (element.key, not element.end)).end


@pytest.mark.parametrize(
    ("network", "begin", "end"),
    [
        ("10.0.0.0/8", "10.0.0.0", "11.0.0.0"),
        ("192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
        ("255.255.255.255/32", "255.255.255.255", None),
        ("255.0.0.0/8", "255.0.0.0", None),
        ("0.0.0.0/0", "0.0.0.0", None),
        ("0.0.0.0/1", "0.0.0.0", "128.0.0.0"),
        ("::1/128", "::1", "::2"),
        ("fe80::/10", "fe80::", "fec0::"),
        ("ffff::/16", "ffff::", None),
        ("::/0", "::", None),
        ("::ffff/128", "::ffff", "::1:0"),
    ],
)
def test_interval(network: str, begin: str, end: str | None) -> None:
    first, *rest = interval(ip_network(network))
    assert (first.key, first.text, first.end) == (ip_address(begin).packed, network, False)
    assert [(e.key, e.end) for e in rest] == ([(ip_address(end).packed, True)] if end else [])


@given(NETWORKS)
def test_an_interval_covers_its_network_and_nothing_beside_it(network: Network) -> None:
    elements = interval(network)
    size = network.max_prefixlen // 8
    first, last = int(network.network_address), int(network.broadcast_address)
    assert all(len(element.key) == size for element in elements)
    assert covers(elements, first.to_bytes(size, "big"))
    assert covers(elements, last.to_bytes(size, "big"))
    if first > 0:
        assert not covers(elements, (first - 1).to_bytes(size, "big"))
    if last + 1 < 1 << network.max_prefixlen:
        assert not covers(elements, (last + 1).to_bytes(size, "big"))


def test_of_adjacent_networks_the_second_begins_where_the_first_ends() -> None:
    both = interval(ip_network("10.0.0.0/8")) + interval(ip_network("11.0.0.0/9"))
    assert [element.end for element in both] == [False, True, False, True]
    assert both[1].key == both[2].key
    assert covers(both, ip_address("11.0.0.0").packed)
    assert not covers(both, ip_address("11.128.0.0").packed)


def test_other_keys() -> None:
    assert mark(0x1234).key == (0x1234).to_bytes(4, sys.byteorder)
    assert mark(0x1234).text == "0x00001234"
    assert (protocol("tcp").key, protocol("udp").key) == (b"\x06", b"\x11")
