"""The lock, requirements/*.txt, agrees with the ranges of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_TOP = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_TOP / "pyproject.toml").read_text())
_EXTRAS = _PROJECT["project"]["optional-dependencies"]
_FILES = {path.stem: path.read_text() for path in (_TOP / "requirements").iterdir()}


def pins(text: str) -> dict[str, str]:
    """The versions by name; fails for a line that is more than a pinned name with hashes."""
    found = {}
    for line in re.sub(r" \\\n", "", re.sub("(?m)^ *#.*\n", "", text)).splitlines():
        matched = re.fullmatch(r"([a-z0-9-]+)==([\w.]+)( ; [^;]+?)?( +--hash=sha256:\w{64})+", line)
        assert matched, line
        found[matched[1]] = matched[2]
    return found


def ranges(requirements: list[str]) -> list[Requirement]:
    """An extra of our own is what it stands for."""
    found = []
    for requirement in map(Requirement, requirements):
        if requirement.name == "cgtproxy":
            found += ranges([one for extra in requirement.extras for one in _EXTRAS[extra]])
        else:
            found.append(requirement)
    return found


def wanted(extra: str) -> list[Requirement]:
    common = _PROJECT["project"]["dependencies"] + _PROJECT["build-system"]["requires"]
    return ranges(common if extra == "base" else _EXTRAS[extra])


def test_there_is_a_file_for_each_extra_that_development_uses() -> None:
    assert _FILES.keys() == _EXTRAS.keys() - {"doh"} | {"base"}


@pytest.mark.parametrize("extra", _FILES)
def test_all_that_is_asked_for_is_locked_within_its_range(extra: str) -> None:
    locked = pins(_FILES[extra])
    for requirement in wanted(extra):
        version = locked[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, requirement.name


def test_the_files_agree() -> None:
    versions = defaultdict(set)
    for text in _FILES.values():
        for name, version in pins(text).items():
            versions[name].add(version)
    assert not {name: found for name, found in versions.items() if len(found) > 1}


@pytest.mark.parametrize("text", _FILES.values(), ids=_FILES)
def test_no_file_says_where_packages_come_from(text: str) -> None:
    assert not re.findall(r".*(?:://|/\S+/).*", text)  # a URL, a path; `pins` sees options
