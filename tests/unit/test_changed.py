"""Which tests a change concerns."""

from __future__ import annotations

from pathlib import Path

import pytest

import changed

TREE = {
    "src/cgtproxy/nft/model.py": "from . import text",
    "src/cgtproxy/nft/text.py": "EXAMPLE = Path(__file__).with_name('example.yaml')",
    "src/cgtproxy/cli.py": "def main():\n    from cgtproxy.nft import model",
    "tests/bed/__init__.py": "PROGRAMS = Path(__file__).parent / 'programs'",
    "tests/bed/crowd.py": "PROGRAM = 'programs/crowd.py'",
    "tests/bed/programs/crowd.py": "",
    "tests/golden/cases.py": "CASES = TESTS / 'golden' / 'drop'",
    "tests/kernel/test_crowds.py": "from bed.crowd import Crowd",
    "tests/kernel/test_nft.py": "import bed, cgtproxy.nft.model",
    "tests/unit/conftest.py": "",
    "tests/unit/test_cli.py": "import cgtproxy.cli",
    "tests/unit/test_golden.py": "from golden import cases",
    "tests/unit/test_nft.py": "from cgtproxy.nft.model import Table",
    "tests/config/test_docs.py": "GUIDE = ROOT / 'docs/configuration.md'",
}


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, text in TREE.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(changed, "TOP", tmp_path)
    monkeypatch.setattr(changed, "TESTS", tmp_path / "tests")
    monkeypatch.setattr(changed, "ROOTS", (tmp_path / "src", tmp_path / "tests"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "concerned"),
    [
        ("tests/unit/test_nft.py", ["unit/test_nft.py"]),
        ("src/cgtproxy/nft/model.py", ["unit/test_cli.py", "unit/test_nft.py"]),
        ("src/cgtproxy/nft/text.py", ["unit/test_cli.py", "unit/test_nft.py"]),
        ("src/cgtproxy/nft/example.yaml", ["unit/test_cli.py", "unit/test_nft.py"]),
        ("src/cgtproxy/nft/removed.py", []),
        ("tests/bed/crowd.py", ["kernel/test_crowds.py"]),
        ("tests/bed/programs/crowd.py", ["kernel/test_crowds.py"]),
        ("tests/bed/__init__.py", ["kernel/test_crowds.py", "kernel/test_nft.py"]),
        ("tests/golden/drop/ruleset.nft", ["unit/test_golden.py"]),
        ("tests/unit/conftest.py", ["unit/test_cli.py", "unit/test_golden.py", "unit/test_nft.py"]),
        ("docs/configuration.md", ["config/test_docs.py"]),
        ("docs/dns.md", []),
    ],
)
def test_a_change_concerns(tree: Path, name: str, concerned: list[str]) -> None:
    found = changed.concerned({tree / name})
    assert [str(file.relative_to(tree / "tests")) for file in found] == concerned
