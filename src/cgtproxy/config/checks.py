"""Faults that lie between keys. A check looks at what was read; values at fault are None there."""

from __future__ import annotations

from collections.abc import Callable

from cgtproxy.config.dns_checks import DNS_CHECKS
from cgtproxy.config.faults import Position, Report, show
from cgtproxy.config.keys import FileKeys
from cgtproxy.config.model import DEFAULT_WORKERS
from cgtproxy.config.value import Value


def check_marks(file: FileKeys, report: Report) -> None:
    """A mark tells for which TPROXY a packet is."""
    marks: dict[int, Position] = {}
    for tproxy in file.all_tproxies.values():
        if mark := tproxy.mark:
            first = marks.setdefault(mark.data, tproxy.position)
            if first is not tproxy.position:
                problem = f"{mark.data} is the mark of {first.path} on line {first.line} too"
                report.add(mark.position, problem, "must be different for each TPROXY")


def check_own_mark(file: FileKeys, report: Report) -> None:
    """The built-in server's sockets must not have a mark that redirects to it."""
    tproxies = file.all_tproxies.values()
    workers = file.workers.data if file.workers else None
    if not workers and not any(tproxy.upstreams for tproxy in tproxies):
        return
    mark = workers.mark if workers else Value(DEFAULT_WORKERS.mark, file.position)
    same = [one for one in tproxies if mark and one.mark and one.mark.data == mark.data]
    if mark and same:
        first = same[0].position
        problem = f"{mark.data} is the mark of {first.path} on line {first.line} too"
        position = mark.position if workers else first
        report.add(position, problem, "workers.mark must be different from those of all TPROXYs")


def check_served_ports(file: FileKeys, report: Report) -> None:
    """By the port the built-in server knows for which TPROXY a connection is."""
    ports: dict[int, Position] = {}
    for tproxy in file.all_tproxies.values():
        if tproxy.upstreams and (port := tproxy.port):
            first = ports.setdefault(port.data, tproxy.position)
            if first is not tproxy.position:
                problem = f"{port.data} is the port of {first.path} on line {first.line} too"
                hint = "must be different for each TPROXY that has an upstream"
                report.add(port.position, problem, hint)


def check_rule_targets(file: FileKeys, report: Report) -> None:
    """A rule redirects to a TPROXY that there is."""
    names = list(file.all_tproxies)
    for rule in file.all_rules:
        if (name := rule.tproxy) and name.data and name.data not in file.all_tproxies:
            similar = report.suggest(name.data, names)
            known = ", ".join(show(known) for known in names[:10]) or "none is given"
            problem = f"no TPROXY has the name {show(name.data)}{similar}"
            report.add(name.position, problem, f"must be one of tproxies ({known})")


CHECKS: tuple[Callable[[FileKeys, Report], None], ...] = (
    check_marks,
    check_own_mark,
    check_served_ports,
    check_rule_targets,
    *DNS_CHECKS,
)
