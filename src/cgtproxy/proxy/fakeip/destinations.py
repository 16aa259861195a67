"""Which destinations are fake-ip addresses, and the real addresses of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cgtproxy.proxy.fakeip.names import FakeName, FakeNames, Leases
from cgtproxy.proxy.io.addresses import Address, SocketAddress, is_loopback, numeric_addresses, show
from cgtproxy.proxy.io.throttle import Throttle
from cgtproxy.proxy.names.stub import Stub

Found: TypeAlias = Callable[[list[SocketAddress]], None]


class Destinations:
    """What the openers of one TPROXY ask; `stub` asks for real addresses."""

    def __init__(self, names: FakeNames, leases: Leases, stub: Stub, throttle: Throttle) -> None:
        self.find = names.find
        self.leases = leases
        self._stub = stub
        self._throttle = throttle

    def look_up(self, name: str, family: int, port: int, found: Found) -> None:
        """Call `found` once, later, with what the name really stands for, `family` first."""

        def looked_up(addresses: list[str]) -> None:
            # Nor loopback: a name from elsewhere must not lead to this computer's own services.
            real = [a for a in addresses if not (self.find(a) or is_loopback(a))]
            targets = numeric_addresses(real, port)
            found(sorted(targets, key=lambda target: target.family != family))

        self._stub.look_up(name, looked_up)

    def tell_unknown(self, destination: Address) -> None:
        wrong = "refused, an address has no name any more"
        self._throttle.warning(wrong, f"{show(destination)}; the app should look it up again")


def show_both(fake: FakeName, destination: Address) -> str:
    return f"{fake.name}:{destination[1]} ({destination[0]})"
