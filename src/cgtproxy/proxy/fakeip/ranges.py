"""From a slot in the pool to its addresses, and back."""

from __future__ import annotations

import socket

from cgtproxy.config.model import FakePool

LARGEST = 1 << 17  # names, as 198.18.0.0/15 has addresses


class Ranges:
    """Slots are numbered from 1 to `size` - 1; the networks' first addresses stand for nothing,
    and neither does IPv4's last one."""

    def __init__(self, pool: FakePool) -> None:
        self.pool = pool
        spaces = pool.network.num_addresses - 1, pool.network6.num_addresses
        self.size = min(*spaces, LARGEST)
        self._first = int(pool.network.network_address), int(pool.network6.network_address)

    def address(self, slot: int) -> bytes:
        """The IPv4 address of that slot, packed."""
        return (self._first[0] + slot).to_bytes(4, "big")

    def address6(self, slot: int) -> bytes:
        return (self._first[1] + slot).to_bytes(16, "big")

    def slot_of_host(self, host: str) -> int | None:
        """The slot of an address; None if it is none of the pool's, 0 if it can have no name."""
        return self.slot_of(
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        )

    def slot_of(self, packed: bytes) -> int | None:
        network, first = (
            (self.pool.network, self._first[0])
            if len(packed) == 4
            else (self.pool.network6, self._first[1])
        )
        offset = int.from_bytes(packed, "big") - first
        if not 0 <= offset < network.num_addresses:
            return None
        return offset if offset < self.size else 0
