"""Faults between keys of `dns`, and between the DNS servers of different TPROXYs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cgtproxy.config.dns.hijack import first_of_each_family
from cgtproxy.config.faults import Position, Report
from cgtproxy.config.model import FakePool, ListenAddress
from cgtproxy.config.value import Value, items

if TYPE_CHECKING:
    from cgtproxy.config.dns.keys import DnsKeys
    from cgtproxy.config.keys import FileKeys, TproxyKeys


def check_dns_is_served(file: FileKeys, report: Report) -> None:
    """The built-in server has a DNS server for a TPROXY that it serves."""
    for tproxy, dns in _dns(file):
        if not tproxy.upstreams:
            hint = "give the TPROXY an upstream, or use dns-hijack for another DNS server"
            problem = "the TPROXY has no upstream, so it is not served here"
            report.add(dns.position, problem, hint)


def check_hijacked_ports(file: FileKeys, report: Report) -> None:
    """Hijacked queries of both families are sent to one port."""
    for tproxy, dns in _dns(file):
        if tproxy.dns_hijack or not dns.listen:
            continue
        four, six = first_of_each_family(dns.listen.data)
        if four and six and four.port != six.port:
            problem = f"{four} and {six} have different ports, but queries are sent to one"
            hint = "give the first listener of each family the same port, or write a dns-hijack"
            report.add(dns.listen.position, problem, hint)


def check_listeners(file: FileKeys, report: Report) -> None:
    """A listener is not at the address of another one, nor at the port of a served TPROXY."""
    seen: list[Value[ListenAddress]] = []
    for listener in _listeners(file):
        address = listener.data
        for other, first, _ in seen:
            if _same(address, other):
                what = "" if address == other else f" ({other})"
                problem = f"{address} is taken by {first.path}{what} on line {first.line}"
                report.add(listener.position, problem, "must be different for each DNS server")
        seen.append(listener)
        for tproxy in file.all_tproxies.values():
            if tproxy.upstreams and tproxy.port and tproxy.port.data == address.port:
                path = tproxy.position.path
                problem = f"{address} has the port of {path}, which is served here"
                report.add(listener.position, problem, "must have another port")


def _same(one: ListenAddress, other: ListenAddress) -> bool:
    """Whether queries for one may arrive at the other: a wildcard has every address."""
    if one.port != other.port or one.ip.version != other.ip.version:
        return False
    return one.ip == other.ip or one.ip.is_unspecified or other.ip.is_unspecified


def check_pools(file: FileKeys, report: Report) -> None:
    """An address must not stand for two names, whichever DNS server gave it to an app."""
    seen: list[tuple[FakePool, Position]] = []
    for _, dns in _dns(file):
        mode, four, six = dns.mode, dns.network, dns.network6
        if not (mode and four and six) or mode.data != "fake-ip":
            continue
        pool = FakePool(four.data, six.data)
        for other, first in seen:
            if pool == other:
                continue
            if four.data.overlaps(other.network):
                problem, position = f"{four.data} overlaps {other.network}", four.position
            elif six.data.overlaps(other.network6):
                problem, position = f"{six.data} overlaps {other.network6}", six.position
            else:
                continue
            problem += (
                f" of {first.path} on line {first.line}, but the "
                "two DNS servers do not have the same pool and pool6"
            )
            report.add(position, problem, "must have both the same, or neither overlapping")
        seen.append((pool, dns.position))


def check_loops(file: FileKeys, report: Report) -> None:
    """A query must not come back to the server that passes it on, nor to its neighbours."""
    listeners = list(_listeners(file))
    for _, dns in _dns(file):
        for upstream, position, _ in (*items(dns.upstreams), *items(dns.exclude_upstreams)):
            for address, first, _ in listeners:
                if (upstream.host, upstream.port) == (str(address.ip), address.port):
                    problem = f"{upstream} is {first.path} on line {first.line}"
                    report.add(position, problem, "must not be a listener of the built-in server")


def _dns(file: FileKeys) -> Iterator[tuple[TproxyKeys, DnsKeys]]:
    """The TPROXYs that have `dns`, and this."""
    for tproxy in file.all_tproxies.values():
        if tproxy.dns:
            yield tproxy, tproxy.dns.data


def _listeners(file: FileKeys) -> Iterator[Value[ListenAddress]]:
    for _, dns in _dns(file):
        yield from items(dns.listen)


DNS_CHECKS: tuple[Callable[[FileKeys, Report], None], ...] = (
    check_dns_is_served,
    check_hijacked_ports,
    check_listeners,
    check_pools,
    check_loops,
)
