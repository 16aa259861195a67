"""The printed ruleset of each golden case; see tests/golden/cases.py."""

from __future__ import annotations

import os

import pytest

from golden.cases import CASES, NAMES, Case


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_ruleset(case: Case) -> None:
    if os.environ.get("REGENERATE_GOLDEN"):
        case.ruleset.write_text(case.text(), encoding="utf-8")
    assert case.text() == case.ruleset.read_text(encoding="utf-8")


def test_there_are_cases() -> None:
    assert len(CASES) >= 10
