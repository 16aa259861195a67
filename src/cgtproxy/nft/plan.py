"""What of the configuration the table needs to know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, collapse_addresses
from typing import Any, NamedTuple, cast

from cgtproxy.config.model import DIRECT, DROP, Config, Decision, Network, Tproxy
from cgtproxy.nft.statements import Protocol

DNS_PORT = 53
VERSIONS = (4, 6)
DROP_CHAIN = "drop-cgroup"
LONGEST_NAME = 100  # the kernel's limit, NFT_NAME_MAXLEN, is 256 bytes with our prefix


class HijackRule(NamedTuple):
    """DNS queries of this kind go to `server` instead; with `loopback`, also those to loopback."""

    version: int
    protocol: Protocol
    server: IPv4Address | IPv6Address
    server_port: int
    loopback: bool


class Dispatch(NamedTuple):
    """How a cgroup's element tells a decision: its verdict in the map, the set it is also in."""

    verdict: str
    chain: str = ""
    set_name: str = ""


def queries(tproxy: Tproxy) -> list[HijackRule]:
    """The queries that are hijacked: of the traffic that this TPROXY would get."""
    hijack = tproxy.dns_hijack
    if hijack is None:
        return []
    servers = [hijack.ip, None if tproxy.no_ipv6 else hijack.ip6]
    protocols: list[Protocol] = [] if tproxy.no_udp else ["udp"]
    if hijack.tcp:
        protocols.append("tcp")
    return [
        # A packet with a loopback source cannot leave the host, wherever NAT sends it.
        HijackRule(
            server.version, protocol, server, hijack.port, hijack.loopback and server.is_loopback
        )
        for server in servers
        if server is not None
        for protocol in protocols
    ]


class Plan:
    """The configuration as chains and sets: names that nft accepts, verdicts for decisions."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.hijacking = [tproxy for tproxy in config.tproxies if queries(tproxy)]
        self.names = _identifiers(tproxy.name for tproxy in config.tproxies)
        fake_ip = [network for pool in config.pools for network in pool]
        self.pools = {version: _merged(fake_ip, version) for version in VERSIONS}
        # Nobody is at a fake-ip address: only the server knows what it stands for.
        self.bypass = {
            version: _carved(_merged(config.bypass, version), self.pools[version])
            for version in VERSIONS
        }
        self.dispatches = self._dispatches()

    def guards_pools(self, version: int) -> bool:
        """Whether there are fake-ip addresses, and a TPROXY that would send some direct."""
        tproxies = self.config.tproxies
        direct = any(t.no_udp or (t.no_ipv6 and version == 6) for t in tproxies)
        return direct and bool(self.pools[version])

    def _dispatches(self) -> dict[Decision, Dispatch]:
        chains = {
            Decision("tproxy", t.name): f"mark-{self.names[t.name]}" for t in self.config.tproxies
        }
        chains[DROP] = DROP_CHAIN  # `drop` in the map would drop also what goes to a bypass
        (first, chain), *rest = chains.items()
        dispatches = {DIRECT: Dispatch("accept"), first: Dispatch("continue", chain)}
        for each, chain in rest:
            dispatches[each] = Dispatch("return", chain, f"to-{chain}" if len(rest) > 1 else "")
        return dispatches


def _merged(networks: Iterable[Network], version: int) -> list[Network]:
    chosen = [network for network in networks if network.version == version]
    return list(cast(Iterable[Network], collapse_addresses(chosen)))


def _carved(networks: Iterable[Network], holes: Iterable[Network]) -> list[Network]:
    """What is left of `networks` without the holes."""
    left = list(networks)
    for hole in holes:
        left = [part for network in left for part in _around(network, hole)]
    return sorted(left)


def _around(network: Any, hole: Any) -> Iterable[Network]:
    """Both are of one family."""
    if not network.overlaps(hole):
        return [network]
    if network.subnet_of(hole):
        return []
    return cast(Iterable[Network], network.address_exclude(hole))


def _identifiers(names: Iterable[str]) -> dict[str, str]:
    """A different nft identifier for each name: letters, digits, `_`, `.` and `-`."""
    identifiers: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:LONGEST_NAME]
        identifier, number = plain, 2
        while identifier in identifiers.values():
            identifier, number = f"{plain}.{number}", number + 1
        identifiers[name] = identifier
    return identifiers
