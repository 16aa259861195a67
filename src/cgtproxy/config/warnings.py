"""What is likely a mistake in a valid file: each warning looks at one matter."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from cgtproxy.config.dns_warnings import DNS_WARNINGS
from cgtproxy.config.faults import Position, Report
from cgtproxy.config.keys import FileKeys

_LOOPBACK4 = IPv4Network("127.0.0.0/8")
_LOOPBACK6 = IPv6Network("::1/128")


def warn_of_open_loopback(file: FileKeys, report: Report) -> None:
    """What the computer's own services tell each other should not be redirected."""
    bypass = file.bypass.data if file.bypass else ()
    four = collapse_addresses(net for net in bypass if isinstance(net, IPv4Network))
    six = collapse_addresses(net for net in bypass if isinstance(net, IPv6Network))
    missing = [] if any(_LOOPBACK4.subnet_of(net) for net in four) else [str(_LOOPBACK4)]
    missing += [] if any(_LOOPBACK6.subnet_of(net) for net in six) else [str(_LOOPBACK6)]
    if missing:
        position = file.bypass.position if file.bypass else file.position.child("bypass")
        hint = "add it, or what the computer's own services tell each other is redirected too"
        report.add(position, f"loopback is not covered ({' and '.join(missing)})", hint)


def warn_of_unused_tproxies(file: FileKeys, report: Report) -> None:
    """A TPROXY without a rule gets no traffic."""
    used = {rule.tproxy.data for rule in file.all_rules if rule.tproxy}
    for name, tproxy in file.all_tproxies.items():
        if name not in used:
            hint = "remove it, or add a rule"
            report.add(tproxy.position, "no rule uses this TPROXY", hint)


def warn_of_dead_rules(file: FileKeys, report: Report) -> None:
    """The first rule that matches decides, so that some never do."""
    hint = "move it before that rule, or remove it"
    seen: dict[str, Position] = {}
    every: Position | None = None
    for pattern, position, _ in file.patterns:
        if every:
            problem = f"never decides: {every.path} on line {every.line} matches every cgroup"
            report.add(position, problem, hint)
        elif pattern.text in seen:
            first = seen[pattern.text]
            problem = f"never decides: {first.path} on line {first.line} is the same pattern"
            report.add(position, problem, hint)
        elif pattern.matches_every_path:
            every = position
        elif pattern.text.endswith("\n"):
            report.add(position, "ends in a line break", "write a |- block, not a | block")
        seen.setdefault(pattern.text, position)


WARNINGS: tuple[Callable[[FileKeys, Report], None], ...] = (
    warn_of_open_loopback,
    warn_of_unused_tproxies,
    warn_of_dead_rules,
    *DNS_WARNINGS,
)
