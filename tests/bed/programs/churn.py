"""Makes cgroups below DIRECTORY, three deep, and removes them, again and again."""

from __future__ import annotations

import sys
from pathlib import Path

top = sys.argv[1]
for number in range(1500):
    first = f"{top}/a{number % 7}"
    paths = (first, f"{first}/drop", f"{first}/drop/direct")
    for path in paths:
        Path(path).mkdir()
    for path in reversed(paths):
        Path(path).rmdir()
