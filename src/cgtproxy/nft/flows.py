"""Chains that make conntrack see flows as they are: whose they are, and who began them."""

from __future__ import annotations

from collections.abc import Sequence

from cgtproxy.config.model import Decision
from cgtproxy.nft import statements as nft
from cgtproxy.nft.decision import decision
from cgtproxy.nft.model import PRIORITY_RAW, Chain, Hook, Rule
from cgtproxy.nft.plan import DNS_PORT, VERSIONS, Plan

MARK_SET = "marks"
FIRST_ZONE = 0x2C9
# What a TPROXY server sends to an app, in the name of whoever the app talks to.
FOREIGN = nft.to_loopback(), nft.from_elsewhere()


def strays(plan: Plan) -> list[Chain]:
    """What the kernel sends in an app's name goes where the app's own packets went.

    `strays`: the last ACK of a connection whose app has closed it, and RST where nobody is any
    more, are of no socket, so of no cgroup but the root (tcp_v4_send_ack, tcp_v4_send_reset).
    `others`: to conntrack, an ICMP error is of the flow that it is about; not if that is in a zone,
    and such an error would take an answer's text, with the name in it, to the real DNS server.
    Without a mark they would go to the real destination, which knows nothing of all that.
    """
    marked: list[Rule] = []
    if plan.config.tproxies:
        marked.append((nft.ct_mark_in(MARK_SET), nft.set_mark_of_ct()))
    zoned: list[Rule] = []
    if plan.hijacking:
        zoned = [
            (nft.ct_state("invalid"), nft.error_about_port(v, DNS_PORT), nft.DROP) for v in VERSIONS
        ]
    return [
        Chain("strays", ((nft.from_open_socket(), nft.RETURN), *marked, (nft.ACCEPT,))),
        Chain("others", (*zoned, *marked, (nft.ACCEPT,))),
    ]


def before_conntrack(plan: Plan, levels: Sequence[int]) -> list[Chain]:
    """What a TPROXY server sends in another's name must not begin a flow. Else, where somebody
    writes to an app first, or so late that the flow has been forgotten, what the app sends then
    would be an answer, and go direct."""
    rules: list[Rule] = [(nft.protocol("udp"), *FOREIGN, nft.NOTRACK, nft.ACCEPT)]
    zones: list[Chain] = []
    if plan.hijacking:
        zones = _zones(plan, levels)
        if own_mark := plan.config.own_mark:
            rules.append((nft.mark_is(own_mark), nft.ACCEPT))
        query = nft.protocol_port("udp", DNS_PORT)
        rules.append((query, nft.verdict("goto", zones[-1].name)))
    return [Chain("raw", tuple(rules), Hook("filter", "output", PRIORITY_RAW)), *zones]


def _zones(plan: Plan, levels: Sequence[int]) -> list[Chain]:
    """conntrack knows a query by its addresses and ports, for 30 seconds, and takes another one's
    by the same port for the same: who answered that one would answer this one. Not so with TCP,
    where a new connection begins with a SYN."""
    acts = {
        Decision("tproxy", tproxy.name): (nft.set_ct_original_zone(number), nft.ACCEPT)
        for number, tproxy in enumerate(plan.hijacking, FIRST_ZONE)
    }
    return decision(plan, levels, acts, prefix="zone-")
