"""What is likely a mistake in what a valid file says about DNS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgtproxy.config.dns.keys import DnsKeys
from cgtproxy.config.faults import Report
from cgtproxy.config.schemes import UdpSupport
from cgtproxy.config.section import data
from cgtproxy.config.value import items

if TYPE_CHECKING:
    from cgtproxy.config.keys import FileKeys


def warn_of_idle_hijacks(file: FileKeys, report: Report) -> None:
    """A hijack takes only queries that the TPROXY would get otherwise."""
    for tproxy in file.all_tproxies.values():
        if not tproxy.dns_hijack:
            continue
        hijack = tproxy.dns_hijack.data
        if data(tproxy.no_udp) and not data(hijack.tcp):
            problem = "never takes effect: no-udp sends UDP direct, and the hijack is for UDP alone"
            hint = "set tcp: true, or remove no-udp or the hijack"
            report.add(tproxy.dns_hijack.position, problem, hint)
        if data(tproxy.no_ipv6) and hijack.ip6:
            problem = "never takes effect: no-ipv6 sends IPv6 direct"
            report.add(hijack.ip6.position, problem, "remove ip6 or no-ipv6")


def warn_of_udp_past_the_server(file: FileKeys, report: Report) -> None:
    """With `no-udp`, queries over UDP do not reach the DNS server."""
    for tproxy in file.all_tproxies.values():
        if tproxy.dns and tproxy.no_udp and tproxy.no_udp.data:
            fake = data(tproxy.dns.data.mode) == "fake-ip"
            too = ", and UDP to fake-ip addresses is refused" if fake else ""
            problem = f"sends queries over UDP past this TPROXY's DNS server{too}"
            report.add(tproxy.no_udp.position, problem, "remove no-udp or dns")


def warn_of_idle_pools(file: FileKeys, report: Report) -> None:
    """A DNS server that forwards everything gives no fake-ip addresses."""
    for tproxy in file.all_tproxies.values():
        if not tproxy.dns or data(tproxy.dns.data.mode) == "fake-ip":
            continue
        for key in (DnsKeys.network, DnsKeys.network6, DnsKeys.ttl):
            if value := tproxy.dns.data.given(key):
                problem = "never takes effect: mode: forward gives no fake-ip addresses"
                report.add(value.position, problem, "remove it, or the mode")


def warn_of_lost_queries(file: FileKeys, report: Report) -> None:
    """Names are looked up over UDP, which gets nowhere through some upstreams."""
    hint = "add `dns: {}`, or a dns-hijack"
    for tproxy in file.all_tproxies.values():
        if tproxy.dns or tproxy.dns_hijack or data(tproxy.no_udp):
            continue
        schemes = {value.data.scheme: value.position for value in items(tproxy.upstreams)}
        taken = next((scheme for scheme in schemes if scheme.carries_udp), None)
        dropped = taken is None and data(tproxy.udp) == "drop"
        lost = "are dropped" if dropped else "go past it, directly"
        for scheme, position in schemes.items():
            if scheme.remote and not scheme.carries_udp and (taken is None or not taken.remote):
                report.add(position, f"{scheme}:// carries no UDP: queries for names {lost}", hint)
            elif scheme is taken and scheme.udp is UdpSupport.ASSOCIATE:
                servers = "many SOCKS5 servers (ssh, Tor)"
                problem = f"names are looked up over UDP, which {servers} do not carry"
                report.add(position, problem, hint)


DNS_WARNINGS = (
    warn_of_idle_hijacks,
    warn_of_udp_past_the_server,
    warn_of_idle_pools,
    warn_of_lost_queries,
)
