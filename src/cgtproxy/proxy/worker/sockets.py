"""The listening sockets that a worker gets from the supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cgtproxy.proxy.io.sockets import Socket


class ListenSockets(NamedTuple):
    """One worker's listening sockets for the traffic of one TPROXY, of all address families.

    `streams_of_others` belong to other workers: it accepts from them while these are busy.
    """

    streams: Sequence[Socket]
    streams_of_others: Sequence[Socket]
    datagrams: Sequence[Socket]
