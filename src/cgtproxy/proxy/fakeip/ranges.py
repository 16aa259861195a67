"""Which slot of a pool has which addresses. Pure."""

from __future__ import annotations

import socket

from cgtproxy.config.model import FakePool

MAX_SLOTS = 1 << 17  # as 198.18.0.0/15 has addresses


class Ranges:
    """The two networks of a pool; slot n is n addresses after the first of each.

    Slots that can have a name are 1 to `size` - 1: the networks' first addresses stand for
    nothing, and neither does IPv4's last one.
    """

    def __init__(self, pool: FakePool) -> None:
        self.pool = pool
        spaces = pool.network.num_addresses - 1, pool.network6.num_addresses
        self.size = min(*spaces, MAX_SLOTS)
        self._first = int(pool.network.network_address), int(pool.network6.network_address)

    def address(self, slot: int) -> bytes:
        """The slot's IPv4 address, packed (4 bytes)."""
        return (self._first[0] + slot).to_bytes(4, "big")

    def address6(self, slot: int) -> bytes:
        """The slot's IPv6 address, packed (16 bytes)."""
        return (self._first[1] + slot).to_bytes(16, "big")

    def slot_of_host(self, host: str) -> int | None:
        """As slot_of(), for an address as text, without a zone. Raises OSError for other text."""
        return self.slot_of(
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        )

    def slot_of(self, packed: bytes) -> int | None:
        """The slot of a packed address: None outside the networks, 0 where none can have a name."""
        network, first = (
            (self.pool.network, self._first[0])
            if len(packed) == 4
            else (self.pool.network6, self._first[1])
        )
        offset = int.from_bytes(packed, "big") - first
        if not 0 <= offset < network.num_addresses:
            return None
        return offset if offset < self.size else 0
