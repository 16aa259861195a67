"""The keys under `dns` and `dns-hijack` of a TPROXY."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from cgtproxy.config.containers import List, OneOrMore
from cgtproxy.config.dns.scalars import DnsUrl, Listener, NamePattern, Pool
from cgtproxy.config.model import (
    SYSTEM,
    Dns,
    DnsHijack,
    DnsMode,
    DnsPath,
    FakePool,
    ListenAddress,
)
from cgtproxy.config.scalars import Address, Boolean, Choice, Integer
from cgtproxy.config.section import Key, Section, Table, data

_HIJACK = DnsHijack()
_POOL = FakePool()
DEFAULT_LISTEN = (
    ListenAddress(IPv4Address("127.0.0.1"), 1053),
    ListenAddress(IPv6Address("::1"), 1053),
)
# STUN is not among them: its servers' own addresses are in none of its answers, and a look-up of
# them by the network's DNS would tell it of every call.
DEFAULT_EXCLUDE = (
    # Names that only the network or VPN one is in knows (RFC 6762, appendix G; RFC 8375).
    *("*.lan", "*.local", "*.localdomain", "*.internal", "*.home.arpa", "fritz.box"),
    *("*.fritz.box", "*.ts.net"),
    # So are those of private addresses (RFC 6303); a pool's own come first.
    *("*.10.in-addr.arpa", "*.1[6-9].172.in-addr.arpa", "*.2[0-9].172.in-addr.arpa"),
    *("*.3[01].172.in-addr.arpa", "*.168.192.in-addr.arpa", "*.254.169.in-addr.arpa"),
    *("*.[cd].f.ip6.arpa", "*.[89ab].e.f.ip6.arpa"),
    # A time server is looked up once and asked for months, longer than a fake-ip address lasts.
    *("*.ntp.org", "ntp.ubuntu.com", "time.apple.com", "time.cloudflare.com", "time.google.com"),
    "time.windows.com",
    # Whether there is a portal to log in at only this network can answer.
    *("captive.apple.com", "connectivitycheck.android.com", "connectivitycheck.gstatic.com"),
    *("detectportal.firefox.com", "*.msftconnecttest.com", "*.msftncsi.com", "nmcheck.gnome.org"),
    *("networkcheck.kde.org", "network-test.debian.org", "connectivity-check.ubuntu.com"),
    *("fedoraproject.org", "conncheck.opensuse.org", "ping.archlinux.org"),
)


class DnsHijackKeys(Section):
    """`dns-hijack`."""

    ip = Key(
        Address(IPv4Address),
        "The DNS server that answers queries sent over IPv4.",
        default=_HIJACK.ip,
    )
    ip6 = Key(
        Address(IPv6Address),
        "The DNS server that answers queries sent over IPv6. Left out: they go to the TPROXY.",
    )
    port = Key(Integer(1, 65535), "The port of the DNS server.", default=_HIJACK.port)
    tcp = Key(
        Boolean(), "Hijack queries over TCP too, not only those over UDP.", default=_HIJACK.tcp
    )
    loopback = Key(
        Boolean(),
        "Hijack queries to a stub resolver on loopback (127.0.0.53) too, if the DNS server is "
        "on loopback as well.",
        default=_HIJACK.loopback,
    )

    def build(self) -> DnsHijack:
        """The model's hijack."""
        return self.fill(DnsHijack)


_UPSTREAMS = OneOrMore(DnsUrl(), "the URL of a DNS server, or a list of them")


class DnsKeys(Section):
    """`dns`."""

    mode = Key(
        Choice[DnsMode]("fake-ip", "forward"),
        "fake-ip answers with addresses that stand for names, which the upstream looks up; "
        "forward passes all queries on.",
        default="fake-ip",
    )
    listen = Key(
        OneOrMore(Listener(), "ADDRESS:PORT, or a list of them"),
        "Where the DNS server listens, over UDP and TCP.",
        default=DEFAULT_LISTEN,
    )
    upstreams = Key(
        _UPSTREAMS,
        "The DNS servers that queries are passed on to.",
        name="upstream",
        default=(SYSTEM,),
    )
    through = Key(
        Choice[DnsPath]("upstream", "direct"),
        "How they are reached: through the TPROXY's upstream, or directly. The system's "
        "servers (system://) always are reached directly.",
        default="upstream",
    )
    exclude = Key(
        List(NamePattern(), "a list of shell patterns"),
        "Names that get their real addresses, from exclude-upstream.",
        default=DEFAULT_EXCLUDE,
    )
    exclude_upstreams = Key(
        _UPSTREAMS,
        "The DNS servers that excluded names are looked up at, directly.",
        name="exclude-upstream",
        default=(SYSTEM,),
    )
    network = Key(
        Pool(IPv4Network),
        "The IPv4 network of the fake-ip addresses.",
        name="pool",
        default=_POOL.network,
    )
    network6 = Key(
        Pool(IPv6Network),
        "The IPv6 network of the fake-ip addresses.",
        name="pool6",
        default=_POOL.network6,
    )
    ttl = Key(Integer(0, 86400), "The seconds that a fake-ip address may be remembered.", default=1)

    def build(self) -> Dns:
        """The model's DNS server."""
        pool = self.fill(FakePool) if data(self.mode) == "fake-ip" else None
        return self.fill(Dns, pool=pool)


DNS_HIJACK = Table(DnsHijackKeys)
DNS = Table(DnsKeys)
