"""Prints the files of tests that the changes since main concern, committed or not.

They are those that have changed, and those that need what has changed: what they import, what
that imports, and so on; and the files that are named in a string of one of these, such as the
programs of the bed, golden rulesets and documents. The tests in the bed run the program as a
whole, so each change of it concerns them all: which of them matter its author has to tell.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[1]
TESTS = TOP / "tests"
ROOTS = (TOP / "src", TESTS)  # of what can be imported
IN_BED = ("bed", "kernel", "systemd")


def git(*arguments: str) -> list[str]:
    return subprocess.run(
        ["git", "-C", str(TOP), *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()


def changed() -> set[Path]:
    """Files that are gone count too: somebody may still import or name them."""
    (base,) = git("merge-base", "main", "HEAD")
    since = git("diff", "--name-only", "--no-renames", base)
    return {TOP / name for name in since + git("ls-files", "--others", "--exclude-standard")}


def module(file: Path) -> str:
    """As it is imported; "" if it cannot be."""
    root = next((root for root in ROOTS if file.is_relative_to(root)), None)
    if root is None or file.suffix != ".py":
        return ""
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> Iterator[str]:
    package = module(file).split(".")
    if file.name != "__init__.py":
        package.pop()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*here, *(node.module or "").split(".")]).strip(".")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@cache
def needed(file: Path) -> frozenset[str]:
    """The modules that `file` imports, with the packages that these are in."""
    found = set()
    for name in imports(file):
        parts = name.split(".")
        if parts[0] != "cgtproxy" or file.relative_to(TOP).parts[1] not in IN_BED:
            found |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return frozenset(found)


def named(file: Path) -> Iterator[str]:
    """The names of files and directories that may stand in its strings."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (Path(word).name for word in node.value.split())


def concerned(files: set[Path]) -> list[Path]:
    """The files of tests that need one of `files`, or are one."""
    everything = {file for root in ROOTS for file in root.rglob("*.py")}
    names = {file.name for file in files}
    data = (file for file in files if file.suffix != ".py" and TESTS in file.parents)
    names |= {file.parent.name for file in data}
    fresh = files | {file for file in everything if not names.isdisjoint(named(file))}
    reached = set()
    while fresh:
        reached |= fresh
        modules = {module(file) for file in fresh} - {""}
        fixtures = {file.parent for file in fresh if file.name == "conftest.py"}
        fresh = {
            file
            for file in everything - reached
            if modules & needed(file) or fixtures & set(file.parents)
        }
    return sorted(file for file in reached & everything if file.name.startswith("test_"))


def main() -> int:
    files = concerned(changed())
    print(*(file.relative_to(TOP) for file in files), sep="\n")
    print(f"{len(files)} files of tests are concerned", file=sys.stderr)
    return 0 if files else 5  # as pytest's exit code where there are no tests


if __name__ == "__main__":
    sys.exit(main())
