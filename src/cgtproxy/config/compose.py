"""YAML text to PyYAML's tree of nodes. Bounded in time and memory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias, cast

from cgtproxy.config.faults import Position, Report

if TYPE_CHECKING:
    import yaml

    from cgtproxy.config.nodes import Node

    Loader: TypeAlias = type[yaml.SafeLoader | yaml.CSafeLoader]

MAX_CHARACTERS = 1 << 20  # ten thousand rules take half of it
# PyYAML composes recursively in C, where a deep document overflows the stack of the process.
_MAX_DEPTH = 32
# Nodes that aliases may repeat: ten lines of YAML can stand for billions ("billion laughs").
_MAX_REPEATED = 100_000
# All but YAML's printable characters. The complement, written shorter, takes 3 ms to compile.
_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def compose(text: str, report: Report) -> Node | None:
    """The root node, None for a document that holds nothing.

    Raises ConfigError where the text is no YAML or out of bounds: then nothing can be read.
    """
    import yaml

    if len(text) > MAX_CHARACTERS:
        report.add(
            Position(0, 0), "the file is too long", f"must be at most {MAX_CHARACTERS} characters"
        )
    elif bad := _UNPRINTABLE.search(text):
        problem = f"control character U+{ord(bad[0]):04X}"
        report.add(_at(text, bad.start()), problem, "remove it, or write it as an escape")
    report.raise_if_any()

    loader: Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_bounds(text, loader, report)
        return cast("Node | None", yaml.compose(text, loader))
    except yaml.MarkedYAMLError as error:
        _add_syntax_error(error, text, report)
    except ValueError as error:  # the scanner in Python does not catch those of chr() and int()
        report.add(Position(1, 1), f"not valid YAML: {error}")
    report.raise_if_any()
    raise AssertionError("a syntax error was reported")


def _check_bounds(text: str, loader: Loader, report: Report) -> None:
    """Raise ConfigError for a document out of bounds, having read it no further."""
    import yaml

    try:
        _count(yaml.parse(text, loader), report)
    except yaml.MarkedYAMLError as error:
        # Looking for the colon of a key, the scanner is up to 1024 characters ahead of its events.
        # What it finds there (libyaml: too deep for itself) must not hide what stands before.
        mark = error.problem_mark or error.context_mark
        with contextlib.suppress(yaml.MarkedYAMLError):
            _count(yaml.parse(text[: mark.index if mark else 0], loader), report)
        report.raise_if_any()
        raise
    report.raise_if_any()


def _count(events: Iterator[yaml.Event], report: Report) -> None:
    """Report what is out of bounds first, and read no further."""
    import yaml

    bounds = _Bounds()
    for event in events:
        problem = ""
        if isinstance(event, yaml.ScalarEvent):
            bounds.open(event.anchor)
            bounds.close()
        elif isinstance(event, yaml.CollectionStartEvent):
            problem = bounds.open(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            bounds.close()
        elif isinstance(event, yaml.AliasEvent):
            problem = bounds.repeat(event.anchor)
        if problem and (mark := event.start_mark):
            report.add(Position(mark.line + 1, mark.column + 1), problem)
            return


class _Bounds:
    """Counts the nodes of a document as if its aliases were written out. Answers are faults."""

    def __init__(self) -> None:
        self._nodes = self._repeated = 0
        self._sizes: dict[str | None, int] = {}  # anchor → number of nodes it stands for
        self._opened: list[tuple[str | None, int]] = []  # anchor, number of nodes before it

    def open(self, anchor: str | None) -> str:
        self._opened.append((anchor, self._nodes))
        self._nodes += 1
        deep = len(self._opened) > _MAX_DEPTH
        return f"nested more than {_MAX_DEPTH} levels deep" if deep else ""

    def close(self) -> None:
        anchor, before = self._opened.pop()
        if anchor:
            self._sizes[anchor] = self._nodes - before

    def repeat(self, anchor: str | None) -> str:
        if any(anchor == one for one, _ in self._opened):
            return f"*{anchor} stands inside the value it stands for"
        size = self._sizes.get(anchor, 0)  # one that is not defined is a syntax error elsewhere
        self._nodes += size
        self._repeated += size
        much = self._repeated > _MAX_REPEATED
        return f"aliases repeat more than {_MAX_REPEATED} values" if much else ""


def _add_syntax_error(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    where = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    parts = [error.context, error.problem]
    if error.context and error.context.startswith("while "):
        begun = f" begun on line {error.context_mark.line + 1}" if error.context_mark else ""
        parts = [error.problem, error.context + begun]
    problem = f"not valid YAML: {', '.join(filter(None, parts))}"
    line = (text.split("\n")[where.line - 1 : where.line] or [""])[0]
    hint = ""
    if "\t" in line[: where.column]:
        hint = "indent with spaces, not tabs"
    elif "unknown escape" in problem:
        hint = "write patterns in single quotes or as a |- block, where a backslash is only itself"
    elif "cannot start any token" in problem:
        hint = "put quotes around a value that begins so"
    report.add(where, problem, hint)


def _at(text: str, index: int) -> Position:
    line = text.count("\n", 0, index)
    return Position(line + 1, index - (text.rfind("\n", 0, index) + 1) + 1)
