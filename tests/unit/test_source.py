"""What the project asks of its own source files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
LONGEST = 250  # lines of a file that still fits in one head
FILES = sorted(SOURCE.rglob("*.py"))


def test_there_are_files() -> None:
    assert len(FILES) > 100


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_longer_file_says_why_in_its_docstring(file: Path) -> None:
    text = file.read_text()
    said = ast.get_docstring(ast.parse(text)) or ""
    assert len(text.splitlines()) <= LONGEST or "in one file" in said
