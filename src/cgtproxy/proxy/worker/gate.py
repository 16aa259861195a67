"""Refusing destinations that lead to this computer's loopback, or back to the server."""

from __future__ import annotations

from cgtproxy.proxy.io.addresses import Address, is_loopback, show
from cgtproxy.proxy.io.sockets import is_local
from cgtproxy.proxy.io.throttle import Throttle


class Gate:
    """Tells which destinations are refused: loopback, and the server that listens on `port`.

    A connection to the server's own port has an address of this computer as its destination,
    whether it was made directly or redirected. Relayed, it would come back again and again.
    """

    def __init__(self, port: int, throttle: Throttle) -> None:
        self._port = port
        self._throttle = throttle

    def refuses(self, family: int, destination: Address) -> bool:
        """Whether nothing may be sent to `destination`; if so, it is logged."""
        host, port = destination[:2]
        if is_loopback(host):
            why = "refused, the destination is loopback"
        elif port == self._port and is_local(family, host):
            why = "refused, the destination is this server itself"
        else:
            return False
        self._throttle.warning(why, f"{show(destination)}; add it to bypass if that is meant")
        return True
