"""The input and the outcome of a dial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.io.sockets import Socket
from cgtproxy.proxy.protocols.handshake import Handshake
from cgtproxy.proxy.upstreams.failover import Failed

if TYPE_CHECKING:  # ssl takes 2 MB
    from cgtproxy.proxy.upstreams.tls import TlsClient, Tunnel


class Environment(NamedTuple):
    """What the dials of a process share. `mark` is the firewall mark of their sockets."""

    reactor: Reactor
    deadlines: Deadlines
    mark: int


class Destination(NamedTuple):
    """A server, at one or several addresses.

    `greets_at_once`: the handshake may begin before the connection is known to be there. With `tls`
    it goes through a tunnel.
    """

    addresses: Sequence[SocketAddress]
    greets_at_once: bool = False
    tls: TlsClient | None = None


class Connected(NamedTuple):
    """A connection by which `handshake` has succeeded.

    `sock` is registered with the reactor and has no handler. `hung_up`: the other side has sent its
    FIN already. Behind a `tunnel`, `sock` is one end of a socket pair.
    """

    sock: Socket
    handshake: Handshake
    hung_up: bool
    tunnel: Tunnel | None


# Called once, and only after the call that begins the dial has returned. With Failed it is called
# by Reactor.soon(), where sockets may be made.
Done: TypeAlias = Callable[[Connected | Failed], None]
