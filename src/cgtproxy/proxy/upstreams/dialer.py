"""What dials share in a process, and how they begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cgtproxy.config.model import Upstream
from cgtproxy.proxy.io.addresses import SocketAddress
from cgtproxy.proxy.io.reactor import Deadlines, Reactor
from cgtproxy.proxy.protocols.handshake import Handshake, NoHandshake
from cgtproxy.proxy.upstreams.dial import Dial, Done
from cgtproxy.proxy.upstreams.schemes import associate_handshake
from cgtproxy.proxy.upstreams.selection import DIRECT

if TYPE_CHECKING:
    from ssl import SSLContext


def _contexts(upstreams: Iterable[Upstream]) -> dict[Upstream, SSLContext]:
    """Where there is none, TLS is not loaded: it takes 2 MB."""
    contexts = {}
    for upstream in upstreams:
        from cgtproxy.proxy.upstreams.tls import client_context

        contexts[upstream] = client_context(upstream.ca_file)
    return contexts


class Dialer:
    """`targets` are the upstreams' addresses."""

    def __init__(
        self,
        reactor: Reactor,
        deadlines: Deadlines,
        mark: int,
        targets: Mapping[Upstream, Sequence[SocketAddress]],
    ) -> None:
        self.reactor = reactor
        self.deadlines = deadlines
        self.mark = mark
        self.targets = targets
        self.contexts = _contexts(u for u in targets if u.scheme.tls)

    def dial(self, upstream: Upstream, handshake: Handshake, on_end: Done) -> Dial:
        """Call `on_end` once, later, with the outcome. Sockets are made: not from a handler."""
        return self._start(Dial(self, upstream, handshake, on_end, self.targets[upstream]))

    def associate(self, upstream: Upstream, on_end: Done) -> None:
        """As dial(), to have a SOCKS5 server pass datagrams on; `on_end` may be called at once."""
        self.dial(upstream, associate_handshake(upstream), on_end)

    def dial_directly(self, targets: Sequence[SocketAddress], on_end: Done) -> Dial:
        """As dial(), but to the destination itself."""
        return self._start(Dial(self, DIRECT, NoHandshake(), on_end, targets))

    def _start(self, dial: Dial) -> Dial:
        self.deadlines.add(dial)
        dial.connect()
        return dial
