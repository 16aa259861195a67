"""A packet's cgroup decides what becomes of it: the rules that ask the map, deepest level first.

A map's `goto` element makes nf_tables validate the whole map at each change (nft_lookup_validate):
1 ms an insertion with 10,000 cgroups, 60 ms with 100,000. Plain verdicts do not, so the map
tells by them: `accept` is direct, `drop` is drop, `continue` goes on in its rule with what the
first TPROXY has to do, and `return` leaves for whatever others there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cgtproxy.config.model import Decision
from cgtproxy.nft import statements as nft
from cgtproxy.nft.model import Chain, Rule
from cgtproxy.nft.plan import Outcome, Plan

CGROUP_MAP = "cgroup-vmap"
ROOT_LEVEL = 0


def decision(
    plan: Plan,
    levels: Sequence[int],
    acts: Mapping[Decision, Rule],
    *,
    prefix: str = "",
    undecided: Rule = (),
) -> list[Chain]:
    """Chains by which a packet meets what `acts` has for its target, for cgroups at these levels;
    the last is where to begin. Where it has nothing, the packet is accepted. What no cgroup below
    the root decided meets `undecided` before the root."""
    ordered = sorted(levels, reverse=True)
    then: Rule = ()
    others: list[tuple[Outcome, Rule]] = []
    for target, outcome in plan.outcomes.items():
        act = acts.get(target, (nft.ACCEPT,))
        if outcome.verdict == "continue":
            then = act
        elif outcome.verdict == "return":
            others.append((outcome, act))
    rules: list[Rule] = [
        (nft.cgroup_vmap(level, CGROUP_MAP), *then) for level in ordered if level != ROOT_LEVEL
    ]
    if undecided:
        rules.append(undecided)
    if ROOT_LEVEL in ordered:
        rules.append((nft.cgroup_vmap(ROOT_LEVEL, CGROUP_MAP), *then))
    if all(act == (nft.ACCEPT,) for _, act in others):
        return [Chain(f"{prefix}cgroups", tuple(rules))]
    rules.append((nft.ACCEPT,))
    decide: list[Rule] = [(nft.verdict("jump", f"{prefix}cgroups"),)]
    if len(others) == 1:
        decide.append(others[0][1])
    else:
        decide += [
            (nft.cgroup_in(level, outcome.set_name), *act)
            for level in ordered
            for outcome, act in others
        ]
    return [Chain(f"{prefix}cgroups", tuple(rules)), Chain(f"{prefix}decide", tuple(decide))]
