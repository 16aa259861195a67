"""Policy routing in the kernel: looked at, changed, watched."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from fcntl import ioctl
from pathlib import Path
from socket import AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, socket

from cgtproxy.errors import CgtproxyError
from cgtproxy.routing import model
from cgtproxy.routing.model import Entry, Families, IpRule, Route
from cgtproxy.runtime.netlink.socket import NetlinkError, NetlinkSocket, Watch
from cgtproxy.runtime.netlink.wire import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    Message,
    message,
)

NETLINK_ROUTE = 0
RTNLGRP_LINK = 1
RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE = 7, 8
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE = 9, 11, 19
GROUPS = (
    RTNLGRP_LINK,  # lo going down takes the IPv4 route with it and says nothing of that
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_IFADDR,  # ::1 comes and goes with the IPv6 stack
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_IPV6_RULE,
)
RTM_NEWLINK, RTM_DELADDR = 16, 21
_INTERFACE = struct.Struct("=i")
SIOCGIFFLAGS, IFF_UP = 0x8913, 1
_IFREQ = struct.Struct("=16sH22x")

IPV4, BOTH = frozenset((AF_INET,)), frozenset((AF_INET, AF_INET6))
IPV6_OFF = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")


def families() -> Families:
    """What this host has now: IPv6 may be absent or off on lo, and lo may be down."""
    try:
        off = IPV6_OFF.read_text().strip() == "1"
    except FileNotFoundError:
        rules = routes = IPV4
    else:
        rules, routes = BOTH, IPV4 if off else BOTH
    return Families(rules, routes if _lo_is_up() else frozenset())


def _lo_is_up() -> bool:
    with socket(AF_UNIX, SOCK_DGRAM) as any_socket:  # the one family that our unit allows
        answer = ioctl(any_socket, SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
    flags: int = _IFREQ.unpack(answer)[1]
    return bool(flags & IFF_UP)


class Routing:
    """Our ip rules and routes in the kernel, over one rtnetlink socket."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE)

    def close(self) -> None:
        """Close the socket; rules and routes stay."""
        self._socket.close()

    @property
    def portid(self) -> int:
        """The netlink address of the socket, which notifications of its changes carry."""
        return self._socket.portid

    def look(self) -> set[Entry]:
        """All rules and routes that are ours, whatever table they are about."""
        seen: set[Entry] = set()
        for family in families().known:
            for kind, what in ((model.RTM_GETRULE, "ip rules"), (model.RTM_GETROUTE, "routes")):
                answers = self._socket.dump(kind, model.dump_request(family, kind), f"the {what}")
                seen |= {entry for answer in answers if (entry := model.decode(answer))}
        return seen

    def add(self, entries: Iterable[Entry]) -> None:
        """Add rules and routes. Raises CgtproxyError where the kernel refuses one."""
        for entry in sorted(entries, key=str):
            if isinstance(entry, IpRule):
                # No NLM_F_EXCL: another's rule that says the same may go at any time.
                self._send(model.RTM_NEWRULE, NLM_F_CREATE, entry)
                continue
            try:
                self._send(model.RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, entry)
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
                raise CgtproxyError(
                    f"cannot add the {entry}: another program has a default route there",
                    "choose another `route-table`, or delete that route",
                ) from error

    def remove(self, entries: Iterable[Entry]) -> None:
        """Delete rules and routes; some may be gone already. Raises NetlinkError."""
        for entry in sorted(entries, key=str):
            kind = model.RTM_DELROUTE if isinstance(entry, Route) else model.RTM_DELRULE
            try:
                self._send(kind, 0, entry)
            except NetlinkError as error:
                if error.errno not in (errno.ENOENT, errno.ESRCH):  # gone meanwhile
                    raise

    def _send(self, kind: int, flags: int, entry: Entry) -> None:
        request = message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, model.encode(entry))
        self._socket.request([request], [f"the {entry}"])


def watch(writer: int) -> Watch:
    """Tells when somebody changes what our rules and routes need."""
    return Watch(NETLINK_ROUTE, GROUPS, writer, lambda notices: any(map(_concerns, notices)))


def _concerns(notice: Message) -> bool:
    if RTM_NEWLINK <= notice.kind <= RTM_DELADDR:
        # The index follows four bytes in both struct ifinfomsg and struct ifaddrmsg.
        index: int = _INTERFACE.unpack_from(notice.body, 4)[0]
        return index == model.LOOPBACK_IFINDEX
    if notice.kind == model.RTM_NEWROUTE and notice.flags & NLM_F_REPLACE:
        return model.is_default(notice)  # of the route that it replaced the kernel says nothing
    return model.decode(notice) is not None
