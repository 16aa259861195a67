"""bench/run ablations: each optimisation that it switches off is still there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCH_ALL = """
from ablations.switches import SWITCHES
for switch in SWITCHES.values():
    switch.patch()
"""


def test_each_optimisation_can_be_switched_off() -> None:
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", PATCH_ALL],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
