"""Which destinations a worker refuses."""

from __future__ import annotations

from cgtproxy.proxy.io.addresses import Address, is_loopback, show
from cgtproxy.proxy.io.sockets import is_local
from cgtproxy.proxy.io.throttle import Throttle


class Gate:
    """Tells which destinations are refused: the server itself, and loopback.

    A connection that was addressed to our port directly has one of our addresses as its
    destination, and so has one that was redirected on its way to us: both would come back for
    ever if they were passed on.
    """

    def __init__(self, port: int, throttle: Throttle) -> None:
        self._port = port
        self._throttle = throttle

    def refuses(self, family: int, destination: Address) -> bool:
        """Whether nothing may be sent to `destination`; if so, it is logged."""
        host, port = destination[:2]
        if is_loopback(host):
            why = "refused, it would go to loopback"
        elif port == self._port and is_local(family, host):
            why = "refused, it would go to this server itself"
        else:
            return False
        self._throttle.warning(why, f"{show(destination)}; add it to bypass if that is meant")
        return True
