"""Messages with some bytes changed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def mutated(random: Random, right: Sequence[bytes]) -> bytes:
    """One of the `right` ones, mostly with a change or two, or the end of another."""
    data = bytearray(random.choice(right))
    for _ in range(random.choice((0, 1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                data[at : at + 1] = random.randbytes(1)
            case 1:
                data[at : at + random.randrange(5)] = random.randbytes(random.randrange(5))
            case 2:
                data[at : at + 1] = random.choice((b"\0", b"\xff", b"\xc0\x0c", b"\xc0", b"\x3f"))
            case _:
                other = random.choice(right)
                data[at:] = other[random.randrange(len(other)) :]
    return bytes(data)
