"""The text of a configuration file to its model."""

from __future__ import annotations

from typing import NamedTuple

from cgtproxy.config.checks import CHECKS
from cgtproxy.config.compose import compose
from cgtproxy.config.faults import Fault, Position, Report
from cgtproxy.config.keys import FILE
from cgtproxy.config.model import Config
from cgtproxy.config.warnings import WARNINGS


class Parsed(NamedTuple):
    """A valid configuration, and what in it is likely a mistake."""

    config: Config
    warnings: tuple[Fault, ...]


def parse(text: str, file: str) -> Parsed:
    """Read a configuration; `file` is the name that faults carry.

    Raises ConfigError with all faults of the text.
    """
    report = Report(file)
    start = Position(1, 1)
    read = None
    if node := compose(text, report):
        read = FILE.read(node, start, report)
    else:
        report.add(start, "the file is empty", f"must be {FILE.expected}")
    if read:
        for check in CHECKS:
            check(read.data, report)
    report.raise_if_any()
    assert read is not None
    warnings = Report(file)
    for warn in WARNINGS:
        warn(read.data, warnings)
    return Parsed(read.data.build(), warnings.faults)
