"""Transfers through a TPROXY server, whose bytes are checked at both ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cgroup import Cgroup
from .network import OUTSIDE
from .program import Program

PROGRAM = str(Path(__file__).parent / "programs" / "transfers.py")
PORT = 7000


class TransferServer(Program):
    """Out in the world; its lines are "received", "reset" or what was wrong, one a transfer."""

    def __init__(self) -> None:
        super().__init__([*OUTSIDE, sys.executable, "-IS", PROGRAM, "serve", str(PORT)])

    def start(self) -> TransferServer:
        super().start()
        self.wait_line("^ready$")
        return self


def transfer(
    up: int = 0, down: int = 0, piece: int = 65536, reader: int = 0, end: str = "fin"
) -> dict[str, Any]:
    return {"up": up, "down": down, "piece": piece, "reader": reader, "end": end}


def run(cgroup: Cgroup, address: str, plan: Sequence[dict[str, Any]]) -> list[str]:
    """What became of each, in the order in which they ended: "ok" if all is well."""
    argv = [sys.executable, "-IS", PROGRAM, "run", address, str(PORT), json.dumps(plan)]
    process = cgroup.spawn(argv, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return list(output.splitlines())
