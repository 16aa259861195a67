"""The sockets on which DNS queries come in: the supervisor's, as they outlive the resolver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cgtproxy.config.model import Config, Dns
from cgtproxy.proxy.dns.sockets import DnsListenSockets
from cgtproxy.proxy.io.addresses import AF_INET6, numeric
from cgtproxy.proxy.io.sockets import (
    Socket,
    is_local,
    listen_dns,
    listen_dns_datagrams,
    listen_unix,
)
from cgtproxy.proxy.supervisor.listen_sockets import Transport


class DnsSocketKind(NamedTuple):
    """A socket for queries: for which address, and by which protocol."""

    transport: Transport
    family: int
    host: str
    port: int

    def open(self, mark: int) -> Socket:
        """Raises CgtproxyError."""
        opened_by = listen_dns if self.transport is Transport.TCP else listen_dns_datagrams
        return opened_by(self.family, self.host, self.port, mark)


class DnsSockets:
    """The sockets of all DNS servers, and one for each on which workers ask for real addresses."""

    def __init__(self) -> None:
        self._sockets: dict[DnsSocketKind, Socket] = {}
        self._workers: dict[str, Socket] = {}  # by the TPROXY's name

    def open(self, config: Config) -> None:
        """Make what is missing; nobody loses a socket. Raises CgtproxyError."""
        for name, dns in config.dns_servers.items():
            for kind in _kinds(dns):
                if kind not in self._sockets and _is_possible(kind.family):
                    self._sockets[kind] = kind.open(config.limits.mark)
            if name not in self._workers:
                self._workers[name] = listen_unix()

    def trim(self, config: Config) -> None:
        """Close what is not wanted any more."""
        wanted = config.dns_servers
        kinds = {kind for dns in wanted.values() for kind in _kinds(dns)}
        for kind in self._sockets.keys() - kinds:
            self._sockets.pop(kind).close()
        for name in self._workers.keys() - wanted.keys():
            self._workers.pop(name).close()

    def of(self, config: Config) -> Mapping[str, DnsListenSockets]:
        """The sockets of each TPROXY's DNS server, by the TPROXY's name."""
        return {name: self._of(name, dns) for name, dns in config.dns_servers.items()}

    def _of(self, name: str, dns: Dns) -> DnsListenSockets:
        def find(transport: Transport) -> list[Socket]:
            opened = [kind for kind in _kinds(dns) if kind in self._sockets]
            return [self._sockets[kind] for kind in opened if kind.transport is transport]

        return DnsListenSockets(find(Transport.TCP), find(Transport.UDP), self._workers[name])

    def leave(self) -> None:
        """In another process, which serves no DNS, close them."""
        for sock in (*self._sockets.values(), *self._workers.values()):
            sock.close()


def _kinds(dns: Dns) -> list[DnsSocketKind]:
    families = [numeric(str(address), 0)[0] for address, _ in dns.listen]
    return [
        DnsSocketKind(transport, family, str(address), port)
        for transport in Transport
        for family, (address, port) in zip(families, dns.listen, strict=True)
    ]


def _is_possible(family: int) -> bool:
    """Whether the host has the family now. A VPN's program may take IPv6 away and bring it back:
    without it there is no loopback address of it."""
    return family != AF_INET6 or is_local(AF_INET6, "::1")
