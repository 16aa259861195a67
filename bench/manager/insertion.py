"""What an element more costs in a verdict map, by the kind of verdict."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

import bed
from cgtproxy.nft import wire
from cgtproxy.nft.kernel import NETLINK_NETFILTER
from cgtproxy.runtime.netlink.socket import NetlinkSocket
from cgtproxy.runtime.netlink.wire import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST

from .contest import Figure, Figures, Scale, Section

MAP = """\
table inet bench {
    map cgroups { type cgroupsv2 : verdict; }
    chain first { meta mark set 3000; }
    chain output {
        type route hook output priority mangle; policy accept;
        socket cgroupv2 level 3 vmap @cgroups
        socket cgroupv2 level 2 vmap @cgroups
        socket cgroupv2 level 1 vmap @cgroups
    }
}
"""
REQUEST = NLM_F_REQUEST | NLM_F_CREATE


def insertion(scale: Scale) -> Iterator[Section]:
    """Why the map has plain verdicts: a `goto` has the kernel validate all of it each time."""
    for size in (10, 1000, 10_000, 100_000):
        yield Section(
            f"An element more in a map of {scale(size)}",
            [Figure("transaction", "µs")],
            {
                "plain": partial(_insertion, scale(size), wire.verdict("continue")),
                "goto": partial(_insertion, scale(size), wire.verdict("goto", "first")),
            },
            most_rounds=3,
        )


def _insertion(size: int, verdict: bytes) -> Figures:
    """The median of some, in microseconds."""
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    bed.nft(MAP)
    _insert(netlink, range(1, size + 1), verdict)
    spent = [_insert(netlink, (size + number,), verdict) for number in range(2, 23)]
    bed.nft("delete table inet bench")
    netlink.close()
    return {"transaction": median(spent) * 1e6}


def _insert(netlink: NetlinkSocket, ids: Sequence[int], verdict: bytes) -> float:
    """In one transaction; the seconds that it took. The kernel does not ask what cgroups exist."""
    elements = (wire.element(struct.pack("=Q", key), verdict) for key in ids)
    lists = wire.element_lists("bench", "cgroups", elements)
    edges = partial(wire.nft_message, flags=NLM_F_REQUEST, body=b"", resource=10)
    messages = [edges(wire.MSG_BATCH_BEGIN, seq=0)]
    for seq, body in enumerate(lists, 1):
        flags = REQUEST | (NLM_F_ACK if seq == len(lists) else 0)
        messages.append(wire.nft_message(wire.MSG_NEWSETELEM, flags, body, seq))
    messages.append(edges(wire.MSG_BATCH_END, seq=len(lists) + 1))
    begin = time.perf_counter()
    netlink.request(messages, ["elements"] * len(messages))
    return time.perf_counter() - begin
