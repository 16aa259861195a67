"""What no key can tell by itself: faults between keys, and what is allowed but hardly meant."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from cgtproxy.config.dns.checks import check_dns
from cgtproxy.config.dns.warnings import dns_warnings
from cgtproxy.config.faults import Place, Report, show
from cgtproxy.config.model import DEFAULT_WORKERS, Config
from cgtproxy.config.regex import matches_every_path
from cgtproxy.config.scalars import Value

_LOOPBACK4 = IPv4Network("127.0.0.0/8")
_LOOPBACK6 = IPv6Network("::1/128")


def check_references(root: Value, report: Report) -> None:
    """Report marks and ports used twice, rules that name no TPROXY, DNS servers at odds.

    Values at fault are passed over.
    """
    tproxies: dict[str, Value] = root.data["tproxies"].data if "tproxies" in root.data else {}
    marks: dict[int, Place] = {}
    for tproxy in tproxies.values():
        if mark := tproxy.data.get("mark"):
            first = marks.setdefault(mark.data, tproxy.place)
            if first is not tproxy.place:
                wrong = f"{mark.data} is the mark of {first.path} on line {first.line} too"
                report.add(mark.place, wrong, "must be different for each TPROXY")

    check_dns(tproxies, report)
    _check_served_ports(tproxies, report)
    _check_own_mark(root, marks, report)
    for rule in root.data["rules"].data if "rules" in root.data else []:
        name = rule.data.get("tproxy") if rule.data else None
        if name and name.data and name.data not in tproxies:
            near = report.suggest(name.data, list(tproxies))
            known = ", ".join(show(known) for known in list(tproxies)[:10]) or "none is given"
            wrong = f"no TPROXY has the name {show(name.data)}{near}"
            report.add(name.place, wrong, f"must be one of tproxies ({known})")


def _check_served_ports(tproxies: dict[str, Value], report: Report) -> None:
    """By the port the built-in server knows for which TPROXY a connection is."""
    first: dict[int, Place] = {}
    for tproxy in tproxies.values():
        port = tproxy.data.get("port")
        if port and "upstream" in tproxy.data:
            other = first.setdefault(port.data, tproxy.place)
            if other is not tproxy.place:
                wrong = f"{port.data} is the port of {other.path} on line {other.line} too"
                hint = "must be different for each TPROXY that has an upstream"
                report.add(port.place, wrong, hint)


def _check_own_mark(root: Value, marks: dict[int, Place], report: Report) -> None:
    """The built-in server's sockets must not have the mark that redirects to it."""
    tproxies = root.data["tproxies"].data if "tproxies" in root.data else {}
    workers = root.data.get("workers")
    if not workers and not any("upstream" in tproxy.data for tproxy in tproxies.values()):
        return
    mark = workers.data.get("mark") if workers else Value(DEFAULT_WORKERS.mark, root.place)
    if mark and mark.data in marks:
        first = marks[mark.data]
        wrong = f"{mark.data} is the mark of {first.path} on line {first.line} too"
        place = mark.place if workers else first
        report.add(place, wrong, "workers.mark must be different from those of all TPROXYs")


def warn(root: Value, config: Config, report: Report) -> None:
    """Report what is likely a mistake in a valid file. `root` has the places of `config`."""
    keys: dict[str, Value] = root.data
    if missing := _open_loopback(config):
        bypass = keys.get("bypass") or Value([], root.place._replace(path="bypass"))
        wrong = f"loopback is not covered ({' and '.join(missing)})"
        hint = "add it, or what the computer's own services tell each other is redirected too"
        report.add(bypass.place, wrong, hint)

    used = {rule.decision.tproxy for rule in config.rules}
    for tproxy in config.tproxies:
        value = keys["tproxies"].data[tproxy.name]
        if tproxy.name not in used:
            report.add(value.place, "no rule uses this TPROXY", "remove it, or add a rule")
        for place, wrong, hint in dns_warnings(tproxy, value):
            report.add(place, wrong, hint)

    if config.rules:
        _warn_of_dead_rules([rule.data["match"] for rule in keys["rules"].data], report)


def _open_loopback(config: Config) -> list[str]:
    """The loopback networks that `bypass` leaves open."""
    four = collapse_addresses(net for net in config.bypass if isinstance(net, IPv4Network))
    six = collapse_addresses(net for net in config.bypass if isinstance(net, IPv6Network))
    missing = [] if any(_LOOPBACK4.subnet_of(net) for net in four) else [str(_LOOPBACK4)]
    return missing + ([] if any(_LOOPBACK6.subnet_of(net) for net in six) else [str(_LOOPBACK6)])


def _warn_of_dead_rules(patterns: list[Value], report: Report) -> None:
    seen: dict[str, Place] = {}
    every: Place | None = None
    for pattern, place in patterns:
        hint = "move it before that rule, or remove it"
        if every:
            wrong = f"never decides: {every.path} on line {every.line} matches every cgroup"
            report.add(place, wrong, hint)
        elif pattern in seen:
            first = seen[pattern]
            wrong = f"never decides: {first.path} on line {first.line} is the same pattern"
            report.add(place, wrong, hint)
        elif matches_every_path(pattern):
            every = place
        elif pattern.endswith("\n"):
            report.add(place, "ends in a line break", "write a |- block, not a | block")
        seen.setdefault(pattern, place)
