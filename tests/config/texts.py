"""The texts of configurations, from which tests make those they need."""

from __future__ import annotations

from collections.abc import Callable

Faults = Callable[[str], list[str]]  # the fixtures: of a text, what it is told
HEAD = "version: 1\ncgroup-root: AUTO\nroute-table: 300\n"
LOOPBACK = 'bypass: [127.0.0.0/8, "::1"]\n'
U32 = "must be a whole number from 1 to 4294967295"
PORT = "must be a whole number from 1 to 65535"


def file_of(*tproxies: str) -> str:
    """A file with TPROXYs a, b, ..., one a line, of which the first is on line 6."""
    names = "abc"[: len(tproxies)]
    lines = [
        f"  {name}: {{port: {number}, mark: {number}, {keys}}}\n"
        for number, (name, keys) in enumerate(zip(names, tproxies, strict=True), 1)
    ]
    rules = [f"  - {{match: {name}, tproxy: {name}}}\n" for name in names]
    return HEAD + LOOPBACK + "tproxies:\n" + "".join(lines) + "rules:\n" + "".join(rules)
