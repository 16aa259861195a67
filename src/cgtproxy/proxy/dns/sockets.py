"""The listening sockets that the resolver gets from the supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cgtproxy.proxy.io.sockets import Socket


class DnsListenSockets(NamedTuple):
    """Those of one TPROXY's DNS server: TCP, UDP, and one AF_UNIX on which our own workers ask."""

    streams: Sequence[Socket]
    datagrams: Sequence[Socket]
    workers: Socket
