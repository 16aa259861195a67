"""What the workers do with fake-ip destinations: their names, and the names' real addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cgtproxy.proxy.fakeip.names import FakeName, FakeNames, Leases
from cgtproxy.proxy.io.addresses import Address, SocketAddress, is_loopback, numeric_addresses, show
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.names.stub import Stub

Found: TypeAlias = Callable[[list[SocketAddress]], None]


class Destinations:
    """The fake-ip names that the connectors of one TPROXY need.

    `find` is that of `names`; `leases` keeps names in use; `stub` looks up real addresses.
    """

    def __init__(self, names: FakeNames, leases: Leases, stub: Stub, throttle: Throttle) -> None:
        self.find = names.find
        self.leases = leases
        self._stub = stub
        self._throttle = throttle

    def look_up(self, name: str, family: int, port: int, found: Found) -> None:
        """Call `found` once, later, with the real addresses of `name`, those of `family` first.

        The list is empty for a name that has none, or that cannot be looked up now.
        """

        def looked_up(addresses: list[str]) -> None:
            # Nor loopback: a name from elsewhere must not lead to this computer's own services.
            real = [a for a in addresses if not (self.find(a) or is_loopback(a))]
            targets = numeric_addresses(real, port)
            found(sorted(targets, key=lambda target: target.family != family))

        self._stub.look_up(name, looked_up)

    def tell_unknown(self, destination: Address) -> None:
        """Log that a connection was refused because its fake-ip address has no name."""
        problem = "refused, a fake-ip address stands for no name any more"
        self._throttle.warning(problem, f"{show(destination)}; the app should look it up again")


def show_both(fake: FakeName, destination: Address) -> str:
    """`NAME:PORT (ADDRESS)`, for the log."""
    return f"{fake.name}:{destination[1]} ({destination[0]})"
