"""The listening sockets that a worker gets from the supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cgtproxy.proxy.io.sockets import Socket


class ListenSockets(NamedTuple):
    """The sockets of one process on which one TPROXY's traffic comes in.

    `streams_of_others` are those that it accepts from when their own workers are busy.
    """

    streams: Sequence[Socket]
    streams_of_others: Sequence[Socket]
    datagrams: Sequence[Socket]
