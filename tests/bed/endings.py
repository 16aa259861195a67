"""Rules that look at the end of a cgroup's name, and what they come to: an oracle for any tree."""

from __future__ import annotations

import os
from pathlib import Path

from .cgroup import ROOT

RULES = {"drop$": "drop", "direct$": "direct", "proxy$": "first"}
# With one TPROXY.
_VERDICTS = {"drop": "return", "direct": "accept", "proxy": "continue"}


def wanted(directory: Path | str = ROOT, above: str = "accept") -> dict[int, str]:
    """The map as it should be, cgroup id to verdict: whoever decides otherwise than its parent."""
    verdicts: dict[int, str] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir():
                endings = (v for ending, v in _VERDICTS.items() if entry.name.endswith(ending))
                verdict = next(endings, above)
                if verdict != above:
                    verdicts[entry.inode()] = verdict
                verdicts |= wanted(entry.path, verdict)
    return verdicts


def ancestors(verdicts: dict[int, str]) -> set[int]:
    """The cgroups, but for the root, that have some of these below them."""
    return {
        above.stat().st_ino
        for path in ROOT.rglob("*/")
        if path.stat().st_ino in verdicts
        for above in path.parents
        if ROOT in above.parents
    }
