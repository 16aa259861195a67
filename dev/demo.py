"""The demonstration: three programs, three cgroups, three rules, and where the traffic went."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import NamedTuple

import bed

CONFIG = f"""\
version: 1
cgroup-root: AUTO
route-table: 300
bypass: [127.0.0.0/8, "::1/128"]
tproxies:
  main: {{port: {bed.TPROXY_PORT}, mark: 0x6a}}
rules:
  - {{match: /updater\\.service$, direct: true}}
  - {{match: /telemetry\\.service$, drop: true}}
  - {{match: ^/app\\.slice, tproxy: main}}
  - {{match: .*, direct: true}}
"""


class Case(NamedTuple):
    """A program: its cgroup, what the rules say of it, and what its traffic must meet with."""

    cgroup: str
    says: str
    meets: dict[str, str]


CASES = [
    Case("app.slice/updater.service", "direct", bed.everywhere("origin")),
    Case("app.slice/telemetry.service", "drop", bed.DROPPED),
    Case("app.slice/browser.scope", "tproxy main", bed.everywhere("tproxy")),
]
COLUMNS = {"tcp4": "TCP IPv4", "udp4": "UDP IPv4", "tcp6": "TCP IPv6", "udp6": "UDP IPv6"}
WORDS = {"tproxy": "TPROXY", "timeout": "nobody", "denied": "nobody"}
LEGEND = """\
origin: the server itself.  nobody: there was no answer.  TPROXY: the TPROXY
listener, which also saw the address and port that the program had asked for.
"""
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: int) -> str:
    return f"\x1b[{code}m{text}\x1b[m" if COLOUR else text


def title(text: str) -> None:
    print(f"\n{paint(text, 1)}\n")


def show(lines: list[str]) -> None:
    for line in lines:
        print(" ", paint(line, 2))


def as_ruled(case: Case, flow: bed.Flow, outcome: bed.Outcome) -> bool:
    """Whether the right one answered, and at the destination that the program had meant."""
    return outcome.by == case.meets[flow.name] and outcome.local in (None, (flow.host, flow.port))


def run_programs() -> list[dict[bed.Flow, bed.Outcome]]:
    """Start all programs in their cgroups, at once; what each flow of each met with."""
    flows = bed.flows(443)
    with ExitStack() as stack:
        probers = []
        for case in CASES:
            cgroup = stack.enter_context(bed.Cgroup(case.cgroup))
            probers.append(bed.Prober(cgroup, *flows, interval=0).start())
        for prober in probers:
            prober.wait()
    return [{record.flow: record.outcome for record in prober.records} for prober in probers]


def table(seen: list[dict[bed.Flow, bed.Outcome]]) -> bool:
    """Print who answered whom; whether all is as the rules say."""
    print(f"  {'cgroup':29}{'rule':13}{' '.join(COLUMNS.values())}")
    good = True
    for case, outcomes in zip(CASES, seen, strict=True):
        cells = {}
        for flow, outcome in outcomes.items():
            right = as_ruled(case, flow, outcome)
            good &= right
            text = f"{'✓' if right else '✗'} {WORDS.get(outcome.by, outcome.by)}"
            cells[flow.name] = paint(f"{text:8}", 32 if right else 31)
        row = " ".join(cells[name] for name in COLUMNS)
        print(f"  {'/' + case.cgroup:29}{case.says:13}{row}")
    return good


def main() -> int:
    title("The daemon is given this configuration,")
    show(CONFIG.splitlines())
    daemon = bed.Daemon(CONFIG, env={"LOG_LEVEL": "info"})
    with bed.Origin(443), bed.Cgroup("proxy.service") as home:
        with bed.Responder("tproxy", bed.TPROXY_PORT, cgroup=home), daemon:
            seen = run_programs()
        left = bed.traces()
    title("logs this while the programs come and go,")
    show(daemon.lines)
    title(f"and this is who answers them at {bed.REMOTE4} and {bed.REMOTE6}, port 443:")
    good = table(seen) and not left
    print()
    show(LEGEND.splitlines())
    for trace in left:
        print(f"left behind by the daemon: {trace}")
    verdict = "Every flow went where its rule says." if good else "NOT everything went as ruled."
    print(f"\n{paint(verdict, 32 if good else 31)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
