"""What the output chain costs each packet."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import bed
from cgtproxy.config.parser import parse
from cgtproxy.nft.decision import ANCESTOR_SET, CGROUP_MAP
from cgtproxy.nft.model import Table
from cgtproxy.nft.plan import Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.text import render

from .candidate import CONFIG
from .contest import Figure, Figures, Scale, Section
from .crowd import SLICE, crowd
from .realtime import realtime

SENDER = Path(__file__).with_name("sender.py")
SINK, SENT_TO = "10.77.0.1/24", "10.77.0.2"
DEPTH = 7
ANOTHERS_DEPTH = 249  # of a user who nests cgroups as deep as nf_tables looks
TRIES = 5  # of which the fastest counts: anything else the machine did made the others slower

# The forerunner's kind of chain: all marks by goto, the program's own cgroup found at the top.
BY_LEVEL = """\
table inet by_level {{
    set bypass4 {{ type ipv4_addr; flags interval; elements = {{ 127.0.0.0/8, 192.168.0.0/16 }} }}
    set bypass6 {{ type ipv6_addr; flags interval; elements = {{ ::1 }} }}
    map cgroups {{ type cgroupsv2 : verdict; elements = {{ {elements} }} }}
    chain first {{ meta mark set 3000; }}
    chain direct {{ accept; }}
    chain output {{
        type route hook output priority mangle; policy accept;
        ct direction reply return
        ip daddr @bypass4 return
        ip6 daddr @bypass6 return
        meta l4proto != {{ tcp, udp }} return
        {look_ups}
    }}
}}
"""


def packets(scale: Scale) -> Iterator[Section]:
    """The sender is DEPTH levels deep and its decision at the top, so that every level is asked."""
    top = "deep.slice"
    path = "/".join([top, *(f"level-{level}" for level in range(2, DEPTH + 1))])
    others = [f"{SLICE}/old-{number}.scope" for number in range(scale(1000))]
    with (
        crowd(len(others)),
        bed.Cgroup(path) as home,
        _sink(),
        realtime(),
        _sender(home) as send,
    ):
        for levels in (3, DEPTH):
            for decision, goto in (("direct", "direct"), ("tproxy", "first")):
                ours = _ours(levels, decision, top, others)
                theirs = _by_level(levels, goto, top, others)
                yield Section(
                    f"A packet, {levels} levels in use, {decision}",
                    [Figure("more than with no rules", "ns")],
                    {
                        "cgtproxy": partial(_cost, send, ours, scale(20_000)),
                        "by level": partial(_cost, send, theirs, scale(20_000)),
                    },
                )
        used = {
            "cgtproxy": _ours(ANOTHERS_DEPTH, "direct", top, others),
            "3 levels": _ours(3, "direct", top, others),
            "by level": _by_level(ANOTHERS_DEPTH, "direct", top, others),
        }
        yield Section(
            f"A direct packet, {ANOTHERS_DEPTH} levels in use elsewhere",
            [Figure("in all", "ns")],
            {name: partial(_cost, send, rules, scale(20_000)) for name, rules in used.items()},
        )


def _ours(levels: int, decision: str, top: str, others: list[str]) -> str:
    """What we install; where packets are marked, without the chains that come after the output.

    There is no ip rule, so that marked packets go the same way as others: the guard would drop
    them for it.
    """
    plan = Plan(parse(CONFIG, "bench").config)
    table = build(plan, range(1, levels + 1))
    if decision == "tproxy":
        kept = [c for c in table.chains if c.hook is None or c.hook.name == "output"]
        table = Table(table.sets, tuple(kept))
    verdict = {"direct": "accept", "tproxy": "continue"}[decision]
    elements = [f'"{path}" : continue' for path in others] + [f'"{top}" : {verdict}']
    members = {CGROUP_MAP: elements, ANCESTOR_SET: [f'"{SLICE}"']}
    return render(
        table, {name: [(True, text) for text in texts] for name, texts in members.items()}
    )


def _by_level(levels: int, goto: str, top: str, others: list[str]) -> str:
    elements = [f'"{path}" : goto first' for path in others] + [f'"{top}" : goto {goto}']
    look_ups = [f"socket cgroupv2 level {n} vmap @cgroups" for n in range(levels, 0, -1)]
    return BY_LEVEL.format(elements=", ".join(elements), look_ups="\n        ".join(look_ups))


def _cost(send: Callable[[int], float], ruleset: str, count: int) -> Figures:
    """Nanoseconds of CPU time that a packet costs, and more than without rules, just before."""
    without = min(send(count) for _ in range(TRIES))
    bed.nft(ruleset)
    with_rules = min(send(count) for _ in range(TRIES))
    bed.nft("flush ruleset")
    return {"in all": with_rules, "more than with no rules": with_rules - without}


@contextmanager
def _sink() -> Iterator[None]:
    """A device that drops what is sent: its far end is down, so nobody has to receive it."""
    bed.run("ip", "link", "add", "sink", "type", "veth", "peer", "sink-end")
    bed.run("ip", "address", "add", SINK, "dev", "sink")
    bed.run("ip", "link", "set", "sink", "up")
    bed.run("ip", "neighbour", "add", SENT_TO, "lladdr", "02:00:00:00:00:02", "dev", "sink")
    try:
        yield
    finally:
        bed.run("ip", "link", "delete", "sink")


@contextmanager
def _sender(home: bed.Cgroup) -> Iterator[Callable[[int], float]]:
    """Sends so many datagrams from a program in `home`; nanoseconds of CPU time for each."""
    argv = [sys.executable, str(SENDER), SENT_TO]
    process = home.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    numbers, costs = process.stdin, process.stdout

    def send(count: int) -> float:
        numbers.write(b"%d\n" % count)
        numbers.flush()
        return float(costs.readline())

    try:
        yield send
    finally:
        numbers.close()
        process.wait()
