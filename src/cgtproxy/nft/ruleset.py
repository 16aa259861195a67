"""From a configuration to the table: what happens to a packet, in order.

output (route)        answers leave
  ├ non-tcp-udp       leaves, too, but for ICMP errors: they go where the connection went that
  │                   they are about
  └ cgroups           deepest level first, the cgroup's element decides; what is direct leaves;
      │               cgroups-deep-N do the same for cgroups that have deeper elements beside them
      ├ mark-NAME     what the built-in server sends leaves, and what goes to a bypass; no-udp,
      │               no-ipv6 and DNS are looked at; the rest gets the fwmark: the ip rule sends it
      │               to lo, and it comes in again through prerouting
      ├ drop-cgroup   the same may leave, the rest is dropped
      └ socketless    what the kernel sends for a connection whose socket is gone goes
                      where that went
prerouting            └ tproxy-NAME gives it to the TPROXY server's socket
dns (nat)             └ dns-NAME gives a marked query to the DNS server instead
raw                   no datagram from a TPROXY server makes an app's an answer; and the queries of
                      each TPROXY are kept apart from all others in conntrack
guard (postrouting)   a marked packet that leaves for a network is dropped: a lost ip rule
                      or route must not leak what was to be proxied
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cgtproxy.config.model import Network, Tproxy
from cgtproxy.nft import matches as match
from cgtproxy.nft import model
from cgtproxy.nft import statements as nft
from cgtproxy.nft.decision import ANCESTOR_SET, CGROUP_MAP, ROOT_LEVEL, decision
from cgtproxy.nft.flows import (
    BYPASS_SETS,
    MARK_SET,
    before_conntrack,
    bypassed,
    connections,
    untouched,
)
from cgtproxy.nft.model import (
    PRIORITY_BEFORE_DSTNAT,
    PRIORITY_MANGLE,
    PRIORITY_TPROXY,
    Chain,
    Hook,
    Rule,
    Set,
    Table,
)
from cgtproxy.nft.plan import DNS_PORT, DROP_CHAIN, VERSIONS, Plan, queries

PROTOCOL_SET = "protocols"
TPROXY_MAP = "tproxy-vmap"
DNS_MAP = "dns-vmap"
POOL_SETS = {4: "pool", 6: "pool6"}
ADDRESS_KEYS: dict[int, model.Key] = {4: "ipv4_addr", 6: "ipv6_addr"}


def build(plan: Plan, levels: Sequence[int]) -> Table:
    """The table for cgroups at these levels of the hierarchy (0 is the root)."""
    tproxies = plan.config.tproxies
    sets = [
        Set(CGROUP_MAP, "cgroupsv2", is_map=True, constant=False),
        Set(ANCESTOR_SET, "cgroupsv2", constant=False),
        Set(PROTOCOL_SET, "inet_proto", (model.protocol("tcp"), model.protocol("udp"))),
    ]
    sets += [
        Set(dispatch.set_name, "cgroupsv2", constant=False)
        for dispatch in plan.dispatches.values()
        if dispatch.set_name
    ]
    sets += [_networks(BYPASS_SETS[v], v, plan.bypass[v]) for v in VERSIONS if plan.bypass[v]]
    sets += [_networks(POOL_SETS[v], v, plan.pools[v]) for v in VERSIONS if plan.guards_pools(v)]
    chains = _output(plan, levels)
    if tproxies:
        sets.append(Set(MARK_SET, "mark", tuple(model.mark(t.mark) for t in tproxies)))
        sets.append(_by_mark(TPROXY_MAP, "tproxy", plan, tproxies))
        chains += _tproxy_chains(plan)
        chains += before_conntrack(plan, levels)
    if plan.hijacking:
        sets.append(_by_mark(DNS_MAP, "dns", plan, plan.hijacking))
        chains += _dns_chains(plan)
    return Table(tuple(sets), tuple(chains))


def _by_mark(name: str, prefix: str, plan: Plan, tproxies: Iterable[Tproxy]) -> Set:
    elements = (model.mark(t.mark, ("goto", f"{prefix}-{plan.names[t.name]}")) for t in tproxies)
    return Set(name, "mark", tuple(elements), is_map=True)


def _networks(name: str, version: int, networks: Iterable[Network]) -> Set:
    elements = tuple(element for network in networks for element in model.interval(network))
    return Set(name, ADDRESS_KEYS[version], elements, interval=True)


def _output(plan: Plan, levels: Sequence[int]) -> list[Chain]:
    acts = {
        each: (nft.verdict("goto", dispatch.chain),)
        for each, dispatch in plan.dispatches.items()
        if dispatch.chain
    }
    # The root's element is not for those that belong to direct connections; else it is enough to
    # look for those that were redirected.
    marked = plan.config.tproxies and ROOT_LEVEL not in levels
    stray = match.ct_marked() if marked else match.ct_not_new()
    undecided = match.protocol("tcp"), stray, nft.verdict("jump", "socketless")
    decided, returned = decision(plan, levels, acts, undecided=undecided)
    decide = nft.verdict("jump", decided[0].name)
    rules: list[Rule] = [
        (match.ct_reply(), nft.RETURN),
        # Two comparisons cost less than the look-up in a set.
        (match.protocol("udp"), decide),
        (match.protocol("tcp"), decide),
        (match.protocol_not_in(PROTOCOL_SET), nft.verdict("goto", "non-tcp-udp")),
        *returned,
    ]
    return [
        *decided,
        Chain("output", tuple(rules), Hook("route", "output", PRIORITY_MANGLE)),
        *connections(plan),
        Chain(DROP_CHAIN, (*untouched(plan), *bypassed(plan), (nft.DROP,))),
    ]


def _tproxy_chains(plan: Plan) -> list[Chain]:
    chains = [
        Chain(
            "prerouting",
            (
                # Others restore marks of connections (`ct mark`), so that answers have one, too.
                (match.from_loopback(), match.ct_reply(), nft.RETURN),
                (match.from_loopback(), nft.mark_vmap(TPROXY_MAP)),
            ),
            Hook("filter", "prerouting", PRIORITY_TPROXY),
        ),
        Chain(
            "guard",
            ((match.marked(), match.not_to_loopback(), match.mark_in(MARK_SET), nft.DROP),),
            Hook("filter", "postrouting", PRIORITY_MANGLE),
        ),
    ]
    if any(plan.pools.values()) and any(tproxy.no_udp for tproxy in plan.config.tproxies):
        # Not in prerouting: for IPv4, icmp_send() makes no error that comes from another's address.
        chains.append(Chain("refuse", ((nft.reject(),),)))
    for tproxy in plan.config.tproxies:
        name = plan.names[tproxy.name]
        chains.append(Chain(f"mark-{name}", tuple(_mark_rules(plan, tproxy))))
        chains.append(Chain(f"tproxy-{name}", tuple(_tproxy_rules(tproxy))))
    return chains


def _mark_rules(plan: Plan, tproxy: Tproxy) -> list[Rule]:
    redirect = nft.set_mark(tproxy.mark), nft.set_ct_mark(tproxy.mark), nft.ACCEPT
    rules = untouched(plan)
    # What is sent to a fake-ip address cannot go direct.
    if tproxy.no_udp:
        refuse = nft.verdict("goto", "refuse")
        rules += [(match.protocol("udp"), to, refuse) for to in _in_pools(plan, VERSIONS)]
        rules.append((match.protocol("udp"), nft.ACCEPT))
    if tproxy.no_ipv6:
        rules += [(to, *redirect) for to in _in_pools(plan, [6])]
        rules.append((match.family(6), nft.ACCEPT))
    for query in queries(tproxy):
        asked = match.family(query.version), match.protocol_port(query.protocol, DNS_PORT)
        if query.server_port == DNS_PORT:
            # NAT to where it goes anyway would be no NAT, and the mark would stay.
            rules.append((match.destination(query.server), asked[1], nft.ACCEPT))
        # Only a connection's first packet passes the nat chain; the others follow it unmarked.
        rules.append((*asked, match.ct_dnat(), nft.ACCEPT))
        if query.loopback:
            rules.append((match.destination_loopback(query.version), asked[1], *redirect))
    # Not the end of the chain: that would lead back to `output`, to another decision.
    return [*rules, *bypassed(plan), redirect]


def _in_pools(plan: Plan, versions: Iterable[int]) -> list[nft.Statement]:
    return [match.destination_in(v, POOL_SETS[v]) for v in versions if plan.pools[v]]


def _tproxy_rules(tproxy: Tproxy) -> list[Rule]:
    """Where no socket takes a packet it is refused: it must not reach a local server instead."""
    rules: list[Rule] = [(match.protocol("tcp"), nft.tproxy(tproxy.port), nft.ACCEPT)]
    if not tproxy.no_udp:
        rules.append((match.protocol("udp"), nft.tproxy(tproxy.port), nft.ACCEPT))
    error = match.protocol_not_in(PROTOCOL_SET), nft.ACCEPT
    return [*rules, error, (match.protocol("tcp"), nft.reject_reset()), (nft.reject(),)]


def _dns_chains(plan: Plan) -> list[Chain]:
    hook = Hook("nat", "output", PRIORITY_BEFORE_DSTNAT)
    chains = [Chain("dns", ((nft.mark_vmap(DNS_MAP),),), hook)]
    for tproxy in plan.hijacking:
        rules = (
            (
                match.family(query.version),
                match.protocol_port(query.protocol, DNS_PORT),
                nft.set_mark(0),
                nft.set_ct_mark(0),
                nft.dnat(query.server, query.server_port),
            )
            for query in queries(tproxy)
        )
        chains.append(Chain(f"dns-{plan.names[tproxy.name]}", tuple(rules)))
    return chains
