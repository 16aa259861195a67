"""A connection, or a UDP socket, that lives as long as a test wants."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .cgroup import Cgroup
from .probe import Flow, Outcome
from .program import Program

TALKER = Path(__file__).parent / "programs" / "talker.py"


class Conversation(Program):
    """A socket of a process in `cgroup`, connected to `flow`'s destination on entering."""

    def __init__(self, cgroup: Cgroup | None, flow: Flow, *, wrapper: Sequence[str] = ()) -> None:
        argv = [sys.executable, "-IS", str(TALKER), flow.protocol, flow.host, str(flow.port)]
        super().__init__([*wrapper, *argv], cgroup=cgroup)

    def start(self) -> Conversation:
        super().start()
        self.wait_line("^ready$")
        return self

    def ask(self, questions: int = 1) -> list[Outcome]:
        """Who answers each of so many questions, all sent before the first answer."""
        known = len(self.lines)
        self.write(f"{questions}\n")

        def answered() -> list[str] | None:
            fresh = self.lines[known:]
            failed = any(" " not in line for line in fresh)
            return fresh if failed or len(fresh) == questions else None

        return [Outcome.parse(line) for line in self.wait_news(answered, "answers")]
