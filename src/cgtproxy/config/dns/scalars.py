"""The types of value that only DNS has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from cgtproxy.config.dns.url import parse_dns_upstream
from cgtproxy.config.model import DnsUpstream, ListenAddress
from cgtproxy.config.scalars import Scalar, unscoped

_LISTENER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,253}")
# What an application never takes for an address of its network, or the kernel never sends there.
_UNFIT = {
    ip_network("0.0.0.0/8"): "this host",
    ip_network("127.0.0.0/8"): "loopback",
    ip_network("169.254.0.0/16"): "link-local",
    ip_network("224.0.0.0/4"): "multicast",
    ip_network("::1"): "loopback",
    ip_network("::ffff:0:0/96"): "IPv4 as IPv6",
    ip_network("fe80::/10"): "link-local",
    ip_network("ff00::/8"): "multicast",
}


class DnsUrl(Scalar):
    must = (
        "the URL of a DNS server: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, "
        "https://HOST:PORT/PATH or system://"
    )

    def convert(self, text: str) -> DnsUpstream:
        try:
            return parse_dns_upstream(text)
        except ValueError as error:
            raise ValueError(f"is not the URL of a DNS server ({error})") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class Listener(Scalar):
    must = "ADDRESS:PORT, or [ADDRESS]:PORT for IPv6, without a scope"

    def convert(self, text: str) -> ListenAddress:
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

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_LISTENER.pattern}$"}


@dataclass(frozen=True)
class Pool(Scalar):
    """A network of fake-ip addresses. Bits after the prefix do not matter."""

    of: type[IPv4Network] | type[IPv6Network]

    @property
    def must(self) -> str:
        return f"an {self._family} network in CIDR with a prefix of at most {self._longest} bits"

    @property
    def _family(self) -> str:
        return self.of.__name__.removesuffix("Network")

    @property
    def _longest(self) -> int:
        """Its first address, and IPv4's last one, stand for no name; two are left."""
        return 30 if self.of is IPv4Network else 126

    def convert(self, text: str) -> IPv4Network | IPv6Network:
        try:
            network = self.of(unscoped(text), strict=False)
        except ValueError:
            raise ValueError(f"is not an {self._family} network") from None
        if network.prefixlen > self._longest:
            raise ValueError("is too small")
        for unfit, what in _UNFIT.items():
            if network.version == unfit.version and network.overlaps(unfit):
                raise ValueError(f"overlaps {unfit} ({what})")
        return network

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9A-Fa-f:.]+/[0-9.]+$"}


class NamePattern(Scalar):
    """A shell pattern (fnmatch) of a name, as names are compared: small, without the last dot."""

    must = "a name in ASCII, in which *, ? and [...] are as in a shell"

    def convert(self, text: str) -> str:
        if not _PATTERN.fullmatch(text):
            raise ValueError("does not fit")
        return text.lower().removesuffix(".")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_PATTERN.pattern}$"}
