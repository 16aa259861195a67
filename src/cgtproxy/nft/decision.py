"""A packet's cgroup decides what becomes of it: the rules that ask the map, deepest level first.

A map's `goto` element makes nf_tables validate the whole map at each change (nft_lookup_validate):
1 ms an insertion with 10,000 cgroups, 60 ms with 100,000. Plain verdicts do not, so the map
tells by them: `accept` is direct, `continue` goes on in its rule with the first of all other
decisions, and `return` leaves the chain for the rest of them.

Each level in use costs a look-up. So that a deep tree slows down its own packets only, a chain asks
about a few levels, the shallowest, and sends packets whose cgroup has deeper elements beside it on
to a chain that asks about twice as many. The set of ancestors tells of those: it has each cgroup
below which there are elements. So a packet pays for less than twice its own tree's depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from cgtproxy.config.model import Decision
from cgtproxy.nft import matches as match
from cgtproxy.nft import statements as nft
from cgtproxy.nft.model import Chain, Rule
from cgtproxy.nft.plan import Dispatch, Plan

CGROUP_MAP = "cgroup-vmap"
ANCESTOR_SET = "ancestors"
ROOT_LEVEL = 0
SHALLOW = 4  # levels in use that all packets are asked about


def decision(
    plan: Plan,
    levels: Sequence[int],
    acts: Mapping[Decision, Rule],
    *,
    prefix: str = "",
    undecided: Rule = (),
) -> tuple[list[Chain], list[Rule]]:
    """Chains by which a packet meets what `acts` has for its decision, for cgroups at these levels.
    The first is for another chain to jump to; the rules are for what returns from there. Where
    `acts` has nothing, the packet is accepted. What no cgroup below the root decided meets
    `undecided` before the root."""
    first: Rule = ()
    rest: list[tuple[Dispatch, Rule]] = []
    for each, dispatch in plan.dispatches.items():
        act = acts.get(each, (nft.ACCEPT,))
        if dispatch.verdict == "continue":
            first = act
        elif dispatch.verdict == "return":
            rest.append((dispatch, act))

    def look_ups(asked: Iterable[int]) -> list[Rule]:
        rules: list[Rule] = [(nft.cgroup_vmap(level, CGROUP_MAP), *first) for level in asked]
        if undecided:
            rules.insert(len(rules) - (ROOT_LEVEL in levels), undecided)
        return [*rules, (nft.ACCEPT,)]

    def tell_apart(asked: Iterable[int]) -> list[Rule]:
        return [
            (match.cgroup_in(level, dispatch.set_name), *act)
            for level in asked
            for dispatch, act in rest
        ]

    chains = _by_depth(f"{prefix}cgroups", levels, look_ups)
    if len(rest) == 1 or all(act == (nft.ACCEPT,) for _, act in rest):
        return chains, [act for _, act in rest[:1]]
    chains += _by_depth(f"{prefix}decide", levels, tell_apart)
    return chains, [(nft.verdict("goto", f"{prefix}decide"),)]


def _by_depth(
    name: str, levels: Iterable[int], rules: Callable[[Iterable[int]], list[Rule]]
) -> list[Chain]:
    """The same rules for more and more levels, in a chain for each depth; the shallowest first."""
    depths = _depths(sorted(levels))
    names = [name, *(f"{name}-deep-{number}" for number in range(1, len(depths)))]
    chains = []
    for number, asked in enumerate(depths):
        made = rules(reversed(asked))
        if number + 1 < len(depths):
            deeper = match.cgroup_in(asked[-1], ANCESTOR_SET)
            made.insert(0, (deeper, nft.verdict("goto", names[number + 1])))
        chains.append(Chain(names[number], tuple(made)))
    return chains


def _depths(levels: list[int]) -> list[list[int]]:
    """The levels that each chain asks about: twice as many as the one before, the last one all.

    That makes seven chains at most: nf_tables allows no more than 16 in each other.
    """
    depths = []
    count = SHALLOW
    while count + 1 < len(levels):  # to ask the set costs as much as one level more
        depths.append(levels[:count])
        count *= 2
    return [*depths, levels]
