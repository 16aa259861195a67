"""The demonstration: three programs, three rules, one SOCKS5 server, and where the traffic went."""

from __future__ import annotations

import os
import re
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import bed
from bed.network import NAMESPACE

NAME, ITS_ADDRESS = "shop.example", "192.0.2.80"  # known to the SOCKS5 server alone
SOCKS = (bed.ORIGIN4, 1080)
CONFIG = f"""\
version: 1
cgroup-root: AUTO
route-table: 300
bypass: [127.0.0.0/8, "::1"]
tproxies:
  company:
    port: 7893
    mark: 0x6a
    upstream: socks5://{SOCKS[0]}:{SOCKS[1]}
    dns: {{}}
rules:
  - {{match: /updater\\.service$, direct: true}}
  - {{match: /telemetry\\.service$, drop: true}}
  - {{match: ^/app\\.slice, tproxy: company}}
  - {{match: .*, direct: true}}
"""
THROUGH_SOCKS = {"tcp4": "SOCKS5", "udp4": "nobody", "tcp6": "SOCKS5", "udp6": "nobody"}


class Case(NamedTuple):
    """A program: its cgroup, what the rules say of it, and what its traffic must meet with."""

    cgroup: str
    says: str
    meets: dict[str, str]


BROWSER = "app.slice/browser.scope"
CASES = [
    Case("app.slice/updater.service", "direct", bed.everywhere("origin")),
    Case("app.slice/telemetry.service", "drop", bed.everywhere("nobody")),
    Case(BROWSER, "tproxy company", THROUGH_SOCKS),
]
COLUMNS = {"tcp4": "TCP IPv4", "udp4": "UDP IPv4", "tcp6": "TCP IPv6", "udp6": "UDP IPv6"}
LEGEND = """\
origin: the server itself, which saw this computer.  nobody: there was no answer.
SOCKS5: the server itself, which saw the SOCKS5 server. That one has no UDP, as
ssh -D and Tor have none, and what it cannot carry does not leak past it.
"""
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: int) -> str:
    return f"\x1b[{code}m{text}\x1b[m" if COLOUR else text


def title(text: str) -> None:
    print(f"\n{paint(text, 1)}\n")


def show(lines: list[str]) -> None:
    for line in lines:
        print(" ", paint(line, 2))


def mark(right: bool, text: str) -> str:
    return paint(f"{'✓' if right else '✗'} {text}", 32 if right else 31)


class Socks(bed.Program):
    """A SOCKS5 server in the outside world, where names mean something else than here."""

    def __init__(self) -> None:
        own = Path("/etc/netns", NAMESPACE)  # what ip-netns(8) puts in place of /etc
        own.mkdir(parents=True, exist_ok=True)
        (own / "hosts").write_text(f"{ITS_ADDRESS} {NAME}\n")
        (own / "nsswitch.conf").write_text("hosts: files\n")
        server = ["microsocks", "-i", SOCKS[0], "-p", str(SOCKS[1])]
        super().__init__(["ip", "netns", "exec", NAMESPACE, *server])

    def start(self) -> Socks:
        super().start()
        bed.wait_until(self._listens, "the SOCKS5 server")
        return self

    @staticmethod
    def _listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(SOCKS) == 0


class Seen(NamedTuple):
    """What each flow of each program met with, and what the browser did with the name."""

    outcomes: list[dict[bed.Flow, bed.Outcome]]
    addresses: list[str]
    named: bed.Outcome


def run_programs() -> Seen:
    """Start all programs in their cgroups, at once."""
    flows = bed.flows(443)
    with ExitStack() as stack:
        cgroups = {case.cgroup: stack.enter_context(bed.Cgroup(case.cgroup)) for case in CASES}
        probers = [bed.Prober(cgroup, *flows, interval=0).start() for cgroup in cgroups.values()]
        browser = cgroups[BROWSER]
        lookup = bed.Program(["getent", "ahosts", NAME], cgroup=browser).start()
        visit = bed.probe(browser, bed.Flow("tcp", NAME, 443))
        for program in (lookup, *probers):
            program.wait()
    outcomes = [{record.flow: record.outcome for record in prober.records} for prober in probers]
    addresses = list(dict.fromkeys(line.split()[0] for line in lookup.lines))
    return Seen(outcomes, addresses, next(iter(visit.values())))


def met_with(outcome: bed.Outcome) -> str:
    if outcome.peer is None:
        return "nobody" if outcome.by in bed.DROPPED.values() else outcome.by
    return "origin" if outcome.peer[0] in (bed.HOST4, bed.HOST6) else "SOCKS5"


def table(seen: list[dict[bed.Flow, bed.Outcome]]) -> bool:
    """Print who answered whom; whether all is as the rules say."""
    print(f"  {'cgroup':29}{'rule':16}{' '.join(COLUMNS.values())}")
    good = True
    for case, outcomes in zip(CASES, seen, strict=True):
        cells = {}
        for flow, outcome in outcomes.items():
            word = met_with(outcome)
            # Whoever answers must be at the destination that the program had meant.
            there = outcome.local in (None, (flow.host, flow.port))
            right = word == case.meets[flow.name] and there
            good &= right
            cells[flow.name] = mark(right, f"{word:6}")
        row = " ".join(cells[name] for name in COLUMNS)
        print(f"  {'/' + case.cgroup:29}{case.says:16}{row}")
    return good


def by_name(seen: Seen, asked: str) -> bool:
    """Print what became of the name; `asked` is what the SOCKS5 server has logged of it."""
    fake_ip = bool(seen.addresses) and all(
        re.match(r"198\.1[89]\.|fc00:", address) for address in seen.addresses
    )
    arrived = seen.named.local == (ITS_ADDRESS, 443)
    rows = {
        "DNS tells it": (fake_ip, f"{' and '.join(seen.addresses)}, from its pool"),
        "SOCKS5 server": (NAME in asked, asked),
        "it is answered by": (arrived, f"{seen.named.by}, at {ITS_ADDRESS}" if arrived else "-"),
    }
    for what, (right, text) in rows.items():
        print(f"  {what:19}{mark(right, text)}")
    return all(right for right, _ in rows.values())


def main() -> int:
    title("All you have is a SOCKS5 server. The daemon is given this configuration,")
    show(CONFIG.splitlines())
    daemon = bed.Daemon(CONFIG, env={"LOG_LEVEL": "info"})
    with bed.Origin(443), Socks() as socks:
        with daemon:
            seen = run_programs()
        left = bed.traces()
    title("logs this while the programs come and go,")
    show(daemon.lines)
    title(f"and this is who answers them at {bed.REMOTE4} and {bed.REMOTE6}, port 443:")
    good = table(seen.outcomes) and not left
    print()
    show(LEGEND.splitlines())
    title(f"The browser goes to {NAME}, which only the SOCKS5 server can look up:")
    good &= by_name(seen, next((line for line in socks.lines if NAME in line), "-"))
    for trace in left:
        print(f"left behind by the daemon: {trace}")
    verdict = "Every flow went where its rule says." if good else "NOT everything went as ruled."
    print(f"\n{paint(verdict, 32 if good else 31)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
