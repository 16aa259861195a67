"""The shells' completions and the manual know what the command line knows."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest

from cgtproxy.cli import _parser

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "completions"


def words(parser: argparse.ArgumentParser) -> set[str]:
    """All commands, choices and options, without their dashes."""
    found: set[str] = set()
    for action in parser._actions:
        found |= {option.lstrip("-") for option in action.option_strings}
        found |= set(action.choices or ())
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                found |= words(command)
    return found


@pytest.mark.parametrize("name", ["cgtproxy.bash", "_cgtproxy", "cgtproxy.fish"])
def test_every_command_choice_and_option_is_there(name: str) -> None:
    assert not missing_in((COMPLETIONS / name).read_text())


def test_the_manual_has_an_entry_for_each() -> None:
    text = (ROOT / "man/cgtproxy.8").read_text()
    assert not missing_in("\n".join(re.findall(r"^\.It (?:Cm|Fl) .*$", text, re.MULTILINE)))


def missing_in(text: str) -> set[str]:
    return {word for word in words(_parser()) if not re.search(rf"(?<!\w){word}\b", text)}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["c"], ["check", "clear", "config"]),
        (["check", "p"], ["permission", "proxy"]),
        (["config", "s"], ["schema"]),
        (["--log-level", ""], ["debug", "info", "warning", "error"]),
        (["rules", "--c"], ["--config"]),
        (["-c", "/etc/hostn"], ["/etc/hostname"]),
    ],
)
def test_bash_completes(typed: list[str], offered: list[str]) -> None:
    script = f'. {COMPLETIONS}/cgtproxy.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cgtproxy'
    command = ["bash", "-c", f'{script}; printf "%s\\n" "${{COMPREPLY[@]}}"', "bash", "cgtproxy"]
    done = subprocess.run([*command, *typed], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered
