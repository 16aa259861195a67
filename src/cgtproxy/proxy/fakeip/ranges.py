"""From a place in the pool to its addresses, and back."""

from __future__ import annotations

import socket

from cgtproxy.config.model import FakePool

LARGEST = 1 << 17  # names, as 198.18.0.0/15 has addresses


class Ranges:
    """Places are numbered from 1 to `size` - 1; the networks' first addresses stand for nothing,
    and neither does IPv4's last one."""

    def __init__(self, pool: FakePool) -> None:
        self.pool = pool
        spaces = pool.network.num_addresses - 1, pool.network6.num_addresses
        self.size = min(*spaces, LARGEST)
        self._first = int(pool.network.network_address), int(pool.network6.network_address)

    def address(self, place: int) -> bytes:
        """The IPv4 address of that place, packed."""
        return (self._first[0] + place).to_bytes(4, "big")

    def address6(self, place: int) -> bytes:
        return (self._first[1] + place).to_bytes(16, "big")

    def place(self, host: str) -> int | None:
        """The place of an address; None if it is none of the pool's, 0 if it can have no name."""
        return self.place_of(
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        )

    def place_of(self, packed: bytes) -> int | None:
        network, first = (
            (self.pool.network, self._first[0])
            if len(packed) == 4
            else (self.pool.network6, self._first[1])
        )
        offset = int.from_bytes(packed, "big") - first
        if not 0 <= offset < network.num_addresses:
            return None
        return offset if offset < self.size else 0
