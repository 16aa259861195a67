"""YAML text to PyYAML's tree of nodes, which know their positions. Bounded in time and memory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from cgtproxy.config.faults import Place, Report, shorten, show

if TYPE_CHECKING:
    import yaml

    Node: TypeAlias = yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode

LONGEST = 1 << 20  # characters; ten thousand rules take half of it
# PyYAML composes recursively in C, where a deep document overflows the stack of the process.
_DEEPEST = 32
# Nodes that aliases may repeat: ten lines of YAML can stand for billions ("billion laughs").
_MOST_REPEATED = 100_000
_TAG = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {
    ("scalar", "null"): "nothing",
    ("scalar", "bool"): "a boolean",
    ("scalar", "int"): "a number",
    ("scalar", "float"): "a number",
    ("scalar", "timestamp"): "a date",
    ("scalar", "str"): "text",
    ("scalar", "merge"): "text",
    ("scalar", "value"): "text",
    ("sequence", "seq"): "a list",
    ("mapping", "map"): "a mapping",
}


def kind(node: Node) -> str:
    """What `node` is, in words; its tag when that is not one of plain configuration."""
    known = _KINDS.get((node.id, node.tag.removeprefix(_TAG)))
    return known or f"a value tagged {show(node.tag)}"


def shown(node: Node) -> str:
    """A scalar as a message quotes it."""
    plain = kind(node) != "text" and node.value.isprintable()
    return shorten(node.value) if plain else show(node.value)


def describe(node: Node) -> str:
    what = kind(node)
    if node.id != "scalar" or what == "nothing":
        return f"{what} is given"
    return f"{shown(node)} is {what}"


def place(node: Node, path: str = "") -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1, path)


class Entry(NamedTuple):
    """A key of a mapping: its name, its place, and the node of its value."""

    name: str
    place: Place
    value: Node

    @property
    def value_place(self) -> Place:
        """A block or an empty value starts somewhere below its key, which says more."""
        start, end = self.value.start_mark, self.value.end_mark
        empty = (start.line, start.column) == (end.line, end.column)
        if self.value.id != "scalar" or empty:
            return self.place
        return place(self.value, self.place.path)


def entries(node: Node, where: Place, report: Report) -> list[Entry]:
    """The keys of a mapping node, merge keys (`<<`) resolved, duplicates reported."""
    found: dict[str, Entry] = {}
    merged: list[Entry] = []
    for key, value in node.value:
        if kind(key) == "text" and key.tag == _TAG + "merge":
            merged += _merge(value, place(key, where.child("<<")), where, report)
        elif key.id != "scalar" or kind(key) in ("nothing", "a list", "a mapping"):
            report.add(place(key, where.path), f"{describe(key)} as a key", "keys must be text")
        elif key.value in found:
            first = found[key.value].place.line
            here = place(key, where.child(key.value))
            report.add(here, f"given twice, first on line {first}", "must be given once")
        else:
            found[key.value] = Entry(key.value, place(key, where.child(key.value)), value)
    for entry in merged:
        found.setdefault(entry.name, entry)
    return list(found.values())


def _merge(node: Node, key: Place, where: Place, report: Report) -> Iterator[Entry]:
    for source in node.value if kind(node) == "a list" else [node]:
        if kind(source) == "a mapping":
            yield from entries(source, where, report)
        else:
            report.add(key, describe(source), "must be a mapping, or a list of mappings")


def compose(text: str, report: Report) -> Node | None:
    """The root node, None for a document that holds nothing.

    Raises ConfigError where the text is no YAML or out of bounds: then nothing can be read.
    """
    import yaml

    if len(text) > LONGEST:
        report.add(Place(0, 0), "the file is too long", f"must be at most {LONGEST} characters")
    elif bad := _UNPRINTABLE.search(text):
        wrong = f"control character U+{ord(bad[0]):04X}"
        report.add(_at(text, bad.start()), wrong, "remove it, or write it as an escape")
    report.raise_if_any()

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_bounds(text, loader, report)
        return cast("Node | None", yaml.compose(text, loader))
    except yaml.MarkedYAMLError as error:
        _add_syntax_error(error, text, report)
    except ValueError as error:  # the scanner in Python does not catch those of chr() and int()
        report.add(Place(1, 1), f"not valid YAML: {error}")
    report.raise_if_any()
    raise AssertionError("a syntax error was reported")


def _check_bounds(text: str, loader: Any, report: Report) -> None:
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


def _count(events: Iterator[Any], report: Report) -> None:
    """Report what is out of bounds first, and read no further."""
    bounds = _Bounds()
    for event in events:
        name = type(event).__name__
        wrong = ""
        if name in ("SequenceStartEvent", "MappingStartEvent"):
            wrong = bounds.open(event.anchor)
        elif name in ("SequenceEndEvent", "MappingEndEvent"):
            bounds.close()
        elif name == "ScalarEvent":
            bounds.open(event.anchor)
            bounds.close()
        elif name == "AliasEvent":
            wrong = bounds.repeat(event.anchor)
        if wrong:
            report.add(Place(event.start_mark.line + 1, event.start_mark.column + 1), wrong)
            return


class _Bounds:
    """Counts the nodes of a document as if its aliases were written out. Answers are faults."""

    def __init__(self) -> None:
        self._nodes = self._repeated = 0
        self._sizes: dict[str, int] = {}  # anchor → number of nodes it stands for
        self._opened: list[tuple[str | None, int]] = []  # anchor, number of nodes before it

    def open(self, anchor: str | None) -> str:
        self._opened.append((anchor, self._nodes))
        self._nodes += 1
        deep = len(self._opened) > _DEEPEST
        return f"nested more than {_DEEPEST} levels deep" if deep else ""

    def close(self) -> None:
        anchor, before = self._opened.pop()
        if anchor:
            self._sizes[anchor] = self._nodes - before

    def repeat(self, anchor: str) -> str:
        if any(anchor == one for one, _ in self._opened):
            return f"*{anchor} stands inside the value it stands for"
        size = self._sizes.get(anchor, 0)  # one that is not defined is a syntax error elsewhere
        self._nodes += size
        self._repeated += size
        much = self._repeated > _MOST_REPEATED
        return f"aliases repeat more than {_MOST_REPEATED} values" if much else ""


def _add_syntax_error(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    where = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    parts = [error.context, error.problem]
    if error.context and error.context.startswith("while "):
        begun = f" begun on line {error.context_mark.line + 1}" if error.context_mark else ""
        parts = [error.problem, error.context + begun]
    wrong = f"not valid YAML: {', '.join(filter(None, parts))}"
    line = (text.split("\n")[where.line - 1 : where.line] or [""])[0]
    hint = ""
    if "\t" in line[: where.column]:
        hint = "indent with spaces, not tabs"
    elif "unknown escape" in wrong:
        hint = "write patterns in single quotes or as a |- block, where a backslash is only itself"
    elif "cannot start any token" in wrong:
        hint = "put quotes around a value that begins so"
    report.add(where, wrong, hint)


def _at(text: str, index: int) -> Place:
    line = text.count("\n", 0, index)
    return Place(line + 1, index - (text.rfind("\n", 0, index) + 1) + 1)
