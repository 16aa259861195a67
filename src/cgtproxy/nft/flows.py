"""Chains that make conntrack see flows as they are: whose they are, and who began them."""

from __future__ import annotations

from collections.abc import Sequence

from cgtproxy.config.model import Decision
from cgtproxy.nft import matches as match
from cgtproxy.nft import statements as nft
from cgtproxy.nft.decision import decision
from cgtproxy.nft.model import PRIORITY_RAW, Chain, Hook, Rule
from cgtproxy.nft.plan import DNS_PORT, VERSIONS, Plan

MARK_SET = "marks"
BYPASS_SETS = {4: "bypass", 6: "bypass6"}
FIRST_ZONE = 0x2C9
# What a TPROXY server sends to an app, in the name of whoever the app talks to.
FOREIGN = match.to_loopback(), match.from_elsewhere()


def untouched(plan: Plan) -> list[Rule]:
    """What no decision is for. Only those that redirect or drop ask this, for it costs more than a
    decision does: direct packets pay nothing for it."""
    rules: list[Rule] = []
    if plan.config.tproxies:
        # What a TPROXY server sends in another's name is not tracked, so it has no direction.
        rules.append((match.ct_state("untracked"), *FOREIGN, nft.ACCEPT))
    if own_mark := plan.config.own_mark:
        # The built-in server's own sockets, wherever it was started: it must not serve itself.
        rules.append((match.mark_is(own_mark), nft.ACCEPT))
    return rules


def bypassed(plan: Plan) -> list[Rule]:
    """What goes to a bypass, which nobody redirects or drops."""
    return [
        (match.destination_in(version, BYPASS_SETS[version]), nft.ACCEPT)
        for version, networks in plan.bypass.items()
        if networks
    ]


def connections(plan: Plan) -> list[Chain]:
    """What the kernel sends in an app's name goes where the app's own packets went.

    `socketless`: the last ACK of a connection whose app has closed it, and RST where nobody is any
    more, are of no socket, so of no cgroup but the root (tcp_v4_send_ack, tcp_v4_send_reset).
    `non-tcp-udp`: to conntrack, an ICMP error is of the flow that it is about; not if that is in
    a zone, and such an error would take an answer's text, with the name in it, to the real DNS
    server. Without a mark they would go to the real destination, which knows nothing of all that.
    """
    marked: list[Rule] = []
    if plan.config.tproxies:
        marked.append((match.ct_mark_in(MARK_SET), nft.set_mark_of_ct()))
    zoned: list[Rule] = []
    if plan.hijacking:
        invalid = match.ct_state("invalid")
        zoned = [(invalid, match.error_about_port(v, DNS_PORT), nft.DROP) for v in VERSIONS]
    socketless = (match.from_open_socket(), nft.RETURN), *bypassed(plan), *marked, (nft.ACCEPT,)
    return [
        Chain("socketless", socketless),
        Chain("non-tcp-udp", (*zoned, *marked, (nft.ACCEPT,))),
    ]


def before_conntrack(plan: Plan, levels: Sequence[int]) -> list[Chain]:
    """What a TPROXY server sends in another's name must not begin a flow. Else, where somebody
    writes to an app first, or so late that the flow has been forgotten, what the app sends then
    would be an answer, and go direct."""
    to_app, foreign = FOREIGN
    rules: list[Rule] = [(to_app, match.protocol("udp"), foreign, nft.NOTRACK, nft.ACCEPT)]
    zones: list[Chain] = []
    if plan.hijacking:
        zones = _zones(plan, levels)
        if own_mark := plan.config.own_mark:
            rules.append((match.mark_is(own_mark), nft.ACCEPT))
        query = match.protocol_port("udp", DNS_PORT)
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
    chains, returned = decision(plan, levels, acts, prefix="zone-")
    return [*chains, Chain("zone", ((nft.verdict("jump", chains[0].name),), *returned))]
