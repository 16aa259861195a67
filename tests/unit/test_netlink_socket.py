"""Requests to the real kernel that change nothing."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import closing
from socket import AF_INET

import pytest

from cgtproxy.errors import PermissionMissingError
from cgtproxy.runtime.netlink import wire
from cgtproxy.runtime.netlink.socket import NetlinkError, NetlinkSocket

NETLINK_ROUTE = 0
RTM_NEWLINK, RTM_GETLINK, RTM_NEWROUTE, RTM_GETROUTE = 16, 18, 24, 26
ANY_LINK = bytes(16)  # struct ifinfomsg
IFLA_IFNAME = 3
ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg


@pytest.fixture
def netlink() -> Iterator[NetlinkSocket]:
    with closing(NetlinkSocket(NETLINK_ROUTE)) as made:
        yield made


def test_dump(netlink: NetlinkSocket) -> None:
    for _ in range(2):
        links = netlink.dump(RTM_GETLINK, ANY_LINK, "the links")
        assert {link.kind for link in links} == {RTM_NEWLINK}
        names = [dict(wire.parse_attributes(link.body, 16))[IFLA_IFNAME] for link in links]
        assert b"lo\0" in names


def test_a_dump_that_the_kernel_refuses_is_not_an_empty_one(netlink: NetlinkSocket) -> None:
    """Strict checking finds fault with a prefix length of 5 and no prefix; NLMSG_DONE says so."""
    request = struct.pack("=BBBBBBBBI", AF_INET, 5, 0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(
        NetlinkError, match="refused to list the routes: Invalid argument"
    ) as caught:
        netlink.dump(RTM_GETROUTE, request, "the routes")
    assert caught.value.errno == errno.EINVAL
    assert "header" in str(caught.value)
    assert netlink.dump(RTM_GETLINK, ANY_LINK, "the links"), "the socket is of use no more"


def test_a_refused_request_is_told_by_the_name_of_its_message(netlink: NetlinkSocket) -> None:
    route = ROUTE.pack(AF_INET, 99, 0, 0, 0, 0, 0, 0, 0)  # no prefix is that long
    flags = wire.NLM_F_REQUEST | wire.NLM_F_ACK
    requests = [wire.message(RTM_NEWROUTE, flags, route, seq) for seq in (0, 1)]
    if os.geteuid() != 0:
        with pytest.raises(PermissionMissingError, match="not permitted to change the first"):
            netlink.request(requests, ["the first", "the second"])
        return
    reason = r"Invalid argument \(EINVAL\): Invalid prefix length"
    with pytest.raises(NetlinkError, match=f"refused the first: {reason}"):
        netlink.request(requests, ["the first", "the second"])
    with pytest.raises(NetlinkError, match=f"refused the second: {reason}"):
        netlink.request(requests[1:], ["the first", "the second"])
