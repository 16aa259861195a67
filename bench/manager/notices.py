"""The clock of the measurements: nftables' own notifications."""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from collections.abc import Callable

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 1 << 29  # 100,000 cgroups at once, with room for a peer that writes each twice

NEWRULE, DELRULE, NEWSETELEM, DELSETELEM = (10 << 8 | n for n in (6, 8, 12, 14))
HEADER = struct.Struct("=IHHII")
# NFTA_DATA_VALUE with eight bytes: a cgroup's id, as an element's key or as what a rule compares
# with. Other attributes may look the same.
CGROUP_ID = re.compile(rb"\x0c\x00\x01\x00(.{8})", re.DOTALL)


class Notices:
    """Follows which cgroups the kernel's rules know: `inside` has their ids, and other numbers."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self.inside: set[int] = set()

    def close(self) -> None:
        self._socket.close()

    def wait(self, condition: Callable[[], bool], timeout: float) -> float | None:
        """When `condition` came true (monotonic seconds), None if not within `timeout` seconds.

        That is the time at which the notification that made it true was received.
        """
        now = time.monotonic()
        deadline = now + timeout
        while not condition():
            if not select.select([self._socket], [], [], max(0.0, deadline - now))[0]:
                return None
            data = self._socket.recv(1 << 18)
            now = time.monotonic()
            self._take_in(data)
        return now

    def wait_inside(self, key: int, timeout: float) -> float | None:
        return self.wait(lambda: key in self.inside, timeout)

    def wait_outside(self, key: int, timeout: float) -> float | None:
        return self.wait(lambda: key not in self.inside, timeout)

    def drain(self) -> None:
        self.wait(lambda: False, 0)

    def _take_in(self, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            length, kind, *_ = HEADER.unpack_from(data, offset)
            if kind in (NEWRULE, NEWSETELEM, DELRULE, DELSETELEM):
                ids = CGROUP_ID.findall(data, offset, offset + length)
                known = {int.from_bytes(key, "little") for key in ids}
                if kind in (NEWRULE, NEWSETELEM):
                    self.inside |= known
                else:
                    self.inside -= known
            offset += length + (-length & 3)
