"""bench/ still measures: everything once, at sizes too small to say how fast anything is."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import bed

ROOT = Path(__file__).parents[2]


def test_every_measurement_comes_to_an_end() -> None:
    python_path = [str(ROOT / "tests"), str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")]
    bench = bed.Program(
        [sys.executable, "-m", "manager", "--rounds", "1", "--scale", "0.002"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(python_path)},
    ).start()
    assert bench.wait(timeout=120) == 0, bench
    rows = re.findall(r"^  (\S.*?)  +(?:≤ [\d.]+(?: \w+)? +)?([\d.]+|never)\b", bench.output, re.M)
    assert len(rows) >= 40
    assert not [what for what, value in rows if value == "never"], bench
    assert {value for what, value in rows if what in ("lost", "stale")} == {"0"}, bench
