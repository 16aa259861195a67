"""A resolver that gives names and writes them, to be killed: `fakeip_writer.py DIRECTORY`.

Of each line of its input it takes `NAME`, and says `NAME SLOT`, or `+SECONDS`, which pass. After
each writing it says `written`, and how many lines it had read before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cgtproxy.proxy.fakeip import store
from cgtproxy.proxy.fakeip.store import Store
from unit.fakeip_pools import Clock, table_of

BITS = 11


class Telling(Store):
    read = 0

    def flush(self, coarseness: int = store.COARSE, at_end: bool = False) -> None:
        before = self.read
        super().flush(coarseness, at_end)
        say(f"written {before}")


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main() -> None:
    store.PAUSE = 0.002
    clock = Clock()
    written = Telling(Path(sys.argv[1]))
    pool = written.pool(table_of(BITS, clock))
    written.start()
    for line in map(str.strip, sys.stdin):
        if line.startswith("+"):
            clock.time += float(line)
        else:
            say(f"{line} {pool.slot_for(line)}")
        written.read += 1


if __name__ == "__main__":
    main()
