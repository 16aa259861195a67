"""The types of value that only DNS has."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar

from cgtproxy.config.dns.url import parse_dns_upstream
from cgtproxy.config.model import DnsUpstream, ListenAddress
from cgtproxy.config.scalars import check_unscoped
from cgtproxy.config.value import Scalar

N = TypeVar("N", IPv4Network, IPv6Network)
_LISTENER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,253}")
# What an application never takes for an address of its network, or the kernel never sends there.
# As messages show it: from Python 3.13 on, ipaddress writes ::ffff:0:0/96 in another way.
_UNFIT = {
    "0.0.0.0/8": "this host",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "224.0.0.0/4": "multicast",
    "::1/128": "loopback",
    "::ffff:0:0/96": "IPv4 as IPv6",
    "fe80::/10": "link-local",
    "ff00::/8": "multicast",
}


class DnsUrl(Scalar[DnsUpstream]):
    """The URL of a DNS server."""

    def __init__(self) -> None:
        expected = (
            "the URL of a DNS server: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, "
            "https://HOST:PORT/PATH or system://"
        )
        super().__init__(expected, {"type": "string"})

    def convert(self, text: str) -> DnsUpstream:
        """The DNS server."""
        try:
            return parse_dns_upstream(text)
        except ValueError as error:
            raise ValueError(f"is not the URL of a DNS server ({error})") from None


class Listener(Scalar[ListenAddress]):
    """An address and a port to listen on."""

    def __init__(self) -> None:
        expected = "ADDRESS:PORT, or [ADDRESS]:PORT for IPv6, without a scope"
        super().__init__(expected, {"type": "string", "pattern": f"^{_LISTENER.pattern}$"})

    def convert(self, text: str) -> ListenAddress:
        """Both."""
        found = _LISTENER.fullmatch(text)
        try:
            if not found or not 1 <= int(found[3]) <= 65535:
                raise ValueError
            address = ip_address(found[1] or found[2])
        except ValueError:
            raise ValueError("is not an address with a port") from None
        if (address.version == 6) != bool(found[1]):
            raise ValueError("has brackets around what is not IPv6")
        return ListenAddress(address, int(found[3]))


class Pool(Scalar[N]):
    """A network of fake-ip addresses, `IPv4Network` or `IPv6Network`."""

    def __init__(self, of: type[N]) -> None:
        self.of: type[N] = of
        self.family = of.__name__.removesuffix("Network")
        # Its first address, and IPv4's last one, stand for no name; two are left.
        self.longest = 30 if of is IPv4Network else 126
        expected = f"an {self.family} network in CIDR with a prefix of at most {self.longest} bits"
        super().__init__(expected, {"type": "string", "pattern": "^[0-9A-Fa-f:.]+/[0-9.]+$"})

    def convert(self, text: str) -> N:
        """The network; bits after the prefix do not matter."""
        try:
            network = self.of(check_unscoped(text), strict=False)
        except ValueError:
            raise ValueError(f"is not an {self.family} network") from None
        if network.prefixlen > self.longest:
            raise ValueError("is too small")
        for unfit, what in _UNFIT.items():
            other = ip_network(unfit)
            if network.version == other.version and network.overlaps(other):
                raise ValueError(f"overlaps {unfit} ({what})")
        return network


class NamePattern(Scalar[str]):
    """A shell pattern (fnmatch) of DNS names."""

    def __init__(self) -> None:
        expected = "a name in ASCII, in which *, ? and [...] are as in a shell"
        super().__init__(expected, {"type": "string", "pattern": f"^{_PATTERN.pattern}$"})

    def convert(self, text: str) -> str:
        """As names are compared: in lower case, and without the last dot."""
        if not _PATTERN.fullmatch(text):
            raise ValueError("does not fit")
        return text.lower().removesuffix(".")
