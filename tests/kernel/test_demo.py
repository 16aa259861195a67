"""The demonstration that the README begins with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bed

TOP = Path(__file__).parents[2]


def test_the_demonstration_goes_as_it_says() -> None:
    """In a bed of its own, as dev/demo runs it: the outside world exists once in each."""
    path = {"PYTHONPATH": os.pathsep.join([str(TOP / "tests"), *sys.path])}
    demo = [str(TOP / "tests/bed/run"), sys.executable, str(TOP / "dev/demo.py")]
    program = bed.Program(demo, env={**os.environ, **path}).start()
    assert program.wait(60) == 0, program
    assert program.output.count("✓") == 12 + 3, program
    program.wait_line(r"✓ .*198\.18\..* from its pool")
    program.wait_line(r"✓ client.* connected to shop\.example:443")  # microsocks itself says so
    program.wait_line("Every flow went where its rule says")
