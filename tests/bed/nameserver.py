"""The computer's DNS server and its files of names, as a test wants them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

from .cgroup import Cgroup
from .program import Program

PROGRAM = Path(__file__).parent / "programs" / "nameserver.py"
HOSTS, RESOLV_CONF = Path("/etc/hosts"), Path("/etc/resolv.conf")  # the bed's own


class Nameserver(Program):
    """The one that resolv.conf names while the context is open."""

    def __init__(self, cgroup: Cgroup | None = None, address: str = "127.0.0.5") -> None:
        super().__init__([sys.executable, str(PROGRAM), address, "53"], cgroup=cgroup)
        self._line = f"nameserver {address}\n"

    def start(self) -> Self:
        super().start()
        self.wait_line("^ready$")
        self._before = RESOLV_CONF.read_text()
        RESOLV_CONF.write_text(self._line)
        return self

    def tell(self, name: str, *addresses: str) -> None:
        known = len(self.lines)
        self.write(f"{name} {' '.join(addresses)}\n")
        self.wait_line(f"^has {name}$", since=known)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        RESOLV_CONF.write_text(self._before)
        super().__exit__(kind, *_)
