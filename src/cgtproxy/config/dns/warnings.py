"""What a valid file says about DNS, but is hardly meant."""

from __future__ import annotations

from collections.abc import Iterator

from cgtproxy.config.faults import Place
from cgtproxy.config.model import Dns, Tproxy
from cgtproxy.config.scalars import Value
from cgtproxy.config.schemes import UdpSupport


def dns_warnings(tproxy: Tproxy, value: Value) -> Iterator[tuple[Place, str, str]]:
    """Where, what is wrong, and what to do. `value` has the places of `tproxy`."""
    keys = value.data
    if "dns-hijack" in keys:
        yield from _idle_hijack(tproxy, keys["dns-hijack"])
    if tproxy.server and tproxy.server.dns:
        yield from _idle_keys(tproxy, tproxy.server.dns, value)
    elif tproxy.server and not tproxy.dns_hijack and not tproxy.no_udp:
        yield from _no_names(tproxy.server.udp, keys["upstream"])


def _idle_hijack(tproxy: Tproxy, keys: Value) -> Iterator[tuple[Place, str, str]]:
    """A hijack takes only queries that the TPROXY would get otherwise."""
    if tproxy.no_udp and not keys.data["tcp"].data:
        wrong = "never takes effect: no-udp sends UDP direct, and the hijack is for UDP alone"
        yield keys.place, wrong, "set tcp: true, or remove no-udp or the hijack"
    if tproxy.no_ipv6 and "ip6" in keys.data:
        place = keys.data["ip6"].place
        yield place, "never takes effect: no-ipv6 sends IPv6 direct", "remove ip6 or no-ipv6"


def _idle_keys(tproxy: Tproxy, dns: Dns, value: Value) -> Iterator[tuple[Place, str, str]]:
    keys = value.data["dns"]
    if tproxy.no_udp:
        too = ", and UDP to fake-ip addresses is refused" if dns.pool else ""
        wrong = f"sends queries over UDP past this TPROXY's DNS server{too}"
        yield value.data["no-udp"].place, wrong, "remove no-udp or dns"
    if not dns.pool:
        for name in ("pool", "pool6", "ttl"):
            if _is_given(keys.data[name], keys):
                wrong = "never takes effect: mode: forward makes no addresses up"
                yield keys.data[name].place, wrong, "remove it, or the mode"


def _is_given(value: Value, mapping: Value) -> bool:
    """A default stands where its mapping does, and nothing that is written can."""
    return value.place[:2] != mapping.place[:2]


def _no_names(udp: str, upstreams: Value) -> Iterator[tuple[Place, str, str]]:
    """Names are looked up over UDP, which gets nowhere through some upstreams."""
    schemes = {item.data.scheme: item.place for item in upstreams.data}
    for scheme, place in schemes.items():
        if scheme.remote and not scheme.carries_udp:
            lost = "are dropped" if udp == "drop" else "go past it, directly"
            wrong = f"{scheme}:// carries no UDP: queries for names {lost}"
            yield place, wrong, "add `dns: {}`, or a dns-hijack"
        elif scheme.udp is UdpSupport.ASSOCIATE:
            servers = "many SOCKS5 servers (ssh, Tor)"
            wrong = f"names are looked up over UDP, which {servers} do not carry"
            yield place, wrong, "add `dns: {}`, or a dns-hijack"
