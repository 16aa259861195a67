"""How to talk to the servers of each scheme: the proxy's half of the table of schemes.

TLS is not spoken of here, and `ssl` not imported: it takes 2 MB, and only who dials needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cgtproxy.config.model import Upstream
from cgtproxy.config.schemes import HTTP, HTTPS, SOCKS5, Scheme
from cgtproxy.proxy.protocols.handshake import Handshake, HostPort, NoHandshake
from cgtproxy.proxy.protocols.http import HttpConnect
from cgtproxy.proxy.protocols.socks5 import ANYWHERE, ASSOCIATE, Socks5


class Handshakes(NamedTuple):
    """Those of one scheme.

    `connect` asks for a TCP connection to a destination, `check` for nothing, to see that the
    upstream works, and `associate` for a relay of datagrams, where the scheme has one.
    """

    connect: Callable[[Upstream, HostPort], Handshake]
    check: Callable[[Upstream], Handshake]
    associate: Callable[[Upstream], Handshake] | None = None


def _socks5_connect(upstream: Upstream, destination: HostPort) -> Handshake:
    return Socks5(destination, upstream.user, upstream.password)


def _socks5_check(upstream: Upstream) -> Handshake:
    return Socks5(None, upstream.user, upstream.password)


def _socks5_associate(upstream: Upstream) -> Handshake:
    return Socks5(ANYWHERE, upstream.user, upstream.password, ASSOCIATE)


def _http_connect(upstream: Upstream, destination: HostPort) -> Handshake:
    return HttpConnect(destination, upstream.user, upstream.password)


def _http_check(_: Upstream) -> Handshake:
    return NoHandshake()


HANDSHAKES: dict[Scheme, Handshakes] = {
    SOCKS5: Handshakes(_socks5_connect, _socks5_check, _socks5_associate),
    HTTP: Handshakes(_http_connect, _http_check),
    HTTPS: Handshakes(_http_connect, _http_check),
}


def connect_handshake(upstream: Upstream, destination: HostPort) -> Handshake:
    """Asks `upstream` for a TCP connection; `destination` may be a name."""
    return HANDSHAKES[upstream.scheme].connect(upstream, destination)


def check_handshake(upstream: Upstream) -> Handshake:
    """Tells that `upstream` works and lets us in, without a connection anywhere."""
    return HANDSHAKES[upstream.scheme].check(upstream)


def associate_handshake(upstream: Upstream) -> Handshake:
    """Asks `upstream`, whose scheme has UdpSupport.ASSOCIATE, for a relay of datagrams."""
    associate = HANDSHAKES[upstream.scheme].associate
    assert associate
    return associate(upstream)
