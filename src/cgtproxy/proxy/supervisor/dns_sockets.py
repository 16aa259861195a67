"""The sockets on which DNS queries come in: the supervisor's, as they outlive the resolver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

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

MakeSocket: TypeAlias = Callable[[int, str, int, int], Socket]
SocketKind: TypeAlias = tuple[MakeSocket, int, str, int]  # ..., family, address, port


class DnsSockets:
    def __init__(self) -> None:
        self._sockets: dict[SocketKind, Socket] = {}
        self._workers: dict[str, Socket] = {}  # by the TPROXY's name

    def open(self, config: Config) -> None:
        """Make what is missing; nobody loses a socket. Raises CgtproxyError."""
        for name, dns in config.dns_servers.items():
            for kind in _kinds(dns):
                make, family, host, port = kind
                if kind not in self._sockets and _is_possible(family):
                    self._sockets[kind] = make(family, host, port, config.limits.mark)
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
        """By the TPROXY's name."""
        return {name: self._of(name, dns) for name, dns in config.dns_servers.items()}

    def _of(self, name: str, dns: Dns) -> DnsListenSockets:
        kinds = _kinds(dns)
        made = [(kind[0], self._sockets[kind]) for kind in kinds if kind in self._sockets]
        streams = [sock for make, sock in made if make is listen_dns]
        datagrams = [sock for make, sock in made if make is listen_dns_datagrams]
        return DnsListenSockets(streams, datagrams, self._workers[name])

    def leave(self) -> None:
        """In another process, which serves no DNS."""
        for sock in (*self._sockets.values(), *self._workers.values()):
            sock.close()


def _kinds(dns: Dns) -> list[SocketKind]:
    families = [numeric(str(address), 0)[0] for address, _ in dns.listen]
    return [
        (make, family, str(address), port)
        for make in (listen_dns, listen_dns_datagrams)
        for family, (address, port) in zip(families, dns.listen, strict=True)
    ]


def _is_possible(family: int) -> bool:
    """A host without IPv6 has no loopback address of it; a VPN's program may take it away and
    bring it back."""
    return family != AF_INET6 or is_local(AF_INET6, "::1")
