"""What a server costs: its processes, their CPU time and memory."""

from __future__ import annotations

from pathlib import Path


class Served:
    """The process `pid` and all that it started."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def pids(self) -> list[int]:
        found, at = [self._pid], 0
        while at < len(found):
            children = Path(f"/proc/{found[at]}/task/{found[at]}/children")
            found += [int(pid) for pid in children.read_text().split()]
            at += 1
        return found

    def cpu(self) -> float:
        """Seconds, user and system, of all threads; /proc/PID/stat counts hundredths only."""
        nanoseconds = 0
        for pid in self.pids():
            for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                nanoseconds += int(file.read_text().split()[0])
        return nanoseconds / 1e9

    def memory(self) -> float:
        """MB; what processes share counts once."""
        total = 0
        for pid in self.pids():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024
