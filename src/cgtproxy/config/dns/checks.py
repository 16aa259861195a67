"""What no key of `dns` can tell by itself: faults between keys and between TPROXYs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cgtproxy.config.dns.build import first_of_each_family
from cgtproxy.config.faults import Place, Report
from cgtproxy.config.model import FakePool, ListenAddress
from cgtproxy.config.scalars import Value


def check_dns(tproxies: Mapping[str, Value], report: Report) -> None:
    """Values at fault are passed over."""
    listeners: list[tuple[ListenAddress, Place]] = []
    pools: list[tuple[FakePool, Place]] = []
    for tproxy in tproxies.values():
        if (dns := tproxy.data.get("dns")) is None:
            continue
        if "upstream" not in tproxy.data:
            hint = "give the TPROXY an upstream, or use dns-hijack for another DNS server"
            report.add(dns.place, "the TPROXY has no upstream, so it is not served here", hint)
        _check_ports(tproxy, dns, report)
        _check_listeners(dns, tproxies, listeners, report)
        _check_pool(dns, pools, report)
    for tproxy in tproxies.values():
        _check_loop(tproxy, listeners, report)


def items(value: Value | None) -> Iterator[Value]:
    """The items of a list; those of a default stand where the list would."""
    if not value:
        return
    for item in value.data:
        here = item if isinstance(item, Value) else Value(item, value.place)
        if here.data is not None:
            yield here


def _check_ports(tproxy: Value, dns: Value, report: Report) -> None:
    if "dns-hijack" in tproxy.data:
        return
    four, six = first_of_each_family(item.data for item in items(dns.data.get("listen")))
    if four and six and four.port != six.port:
        wrong = f"{four} and {six} have different ports, but queries are sent to one"
        hint = "give the first listener of each family the same port, or write a dns-hijack"
        report.add(dns.data["listen"].place, wrong, hint)


def _check_listeners(
    dns: Value,
    tproxies: Mapping[str, Value],
    seen: list[tuple[ListenAddress, Place]],
    report: Report,
) -> None:
    for endpoint, place in items(dns.data.get("listen")):
        for other, first in seen:
            if _same(endpoint, other):
                what = "" if endpoint == other else f" ({other})"
                wrong = f"{endpoint} is taken by {first.path}{what} on line {first.line}"
                report.add(place, wrong, "must be different for each DNS server")
        seen.append((endpoint, place))
        for tproxy in tproxies.values():
            port = tproxy.data.get("port")
            if port and port.data == endpoint.port and "upstream" in tproxy.data:
                wrong = f"{endpoint} has the port of {tproxy.place.path}, which is served here"
                report.add(place, wrong, "must have another port")


def _same(one: ListenAddress, other: ListenAddress) -> bool:
    """Whether queries for one may arrive at the other: a wildcard has every address."""
    if one.port != other.port or one.ip.version != other.ip.version:
        return False
    return one.ip == other.ip or one.ip.is_unspecified or other.ip.is_unspecified


def _check_pool(dns: Value, seen: list[tuple[FakePool, Place]], report: Report) -> None:
    """An address must not stand for two names, whichever DNS server gave it to an app."""
    mode, four, six = (dns.data.get(key) for key in ("mode", "pool", "pool6"))
    if not (mode and four and six) or mode.data != "fake-ip":
        return
    pool = FakePool(four.data, six.data)
    for other, first in seen:
        overlaps = [
            (value, theirs)
            for value, theirs in zip((four, six), other, strict=True)
            if value.data.overlaps(theirs)
        ]
        if pool != other and overlaps:
            value, theirs = overlaps[0]
            wrong = (
                f"{value.data} overlaps {theirs} of {first.path} on line {first.line}, but the "
                "two DNS servers do not have the same pool and pool6"
            )
            report.add(value.place, wrong, "must have both the same, or neither overlapping")
    seen.append((pool, dns.place))


def _check_loop(
    tproxy: Value, listeners: list[tuple[ListenAddress, Place]], report: Report
) -> None:
    """A query must not come back to the server that passes it on, nor to its neighbours."""
    keys = tproxy.data["dns"].data if "dns" in tproxy.data else {}
    for key in ("upstream", "exclude-upstream"):
        for upstream, place in items(keys.get(key)):
            for endpoint, first in listeners:
                if (upstream.host, upstream.port) == (str(endpoint.ip), endpoint.port):
                    wrong = f"{upstream} is {first.path} on line {first.line}"
                    report.add(place, wrong, "must be a DNS server of somebody else's")
