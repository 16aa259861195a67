"""PyYAML's nodes, which know their positions: their types in words, and the keys of mappings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cgtproxy.config.faults import Position, Report, shorten, show

if TYPE_CHECKING:
    import yaml

    Node: TypeAlias = yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode

_TAG = "tag:yaml.org,2002:"
_TYPES = {
    ("scalar", _TAG + "null"): "nothing",
    ("scalar", _TAG + "bool"): "a boolean",
    ("scalar", _TAG + "int"): "a number",
    ("scalar", _TAG + "float"): "a number",
    ("scalar", _TAG + "timestamp"): "a date",
    ("scalar", _TAG + "str"): "text",
    ("scalar", _TAG + "merge"): "text",
    ("scalar", _TAG + "value"): "text",
    ("sequence", _TAG + "seq"): "a list",
    ("mapping", _TAG + "map"): "a mapping",
}


def node_type(node: Node) -> str:
    """The type of `node`, in words; its tag when that is not one of plain configuration."""
    return _TYPES.get((node.id, node.tag)) or f"a value tagged {show(node.tag)}"


def quoted(node: Node) -> str:
    """A scalar as a message quotes it."""
    plain = node_type(node) != "text" and node.value.isprintable()
    return shorten(node.value) if plain else show(node.value)


def describe(node: Node) -> str:
    """A sentence that says what `node` is: "5 is a number", "a list is given"."""
    what = node_type(node)
    if node.id != "scalar" or what == "nothing":
        return f"{what} is given"
    return f"{quoted(node)} is {what}"


def position_of(node: Node, path: str = "") -> Position:
    """Where `node` starts; `path` is that of its key."""
    mark = node.start_mark
    return Position(mark.line + 1, mark.column + 1, path)


class Entry(NamedTuple):
    """A key of a mapping: its name, its position, and the node of its value."""

    name: str
    position: Position
    value: Node

    @property
    def value_position(self) -> Position:
        """That of the value, or of the key where the value is a block, which starts below it."""
        start, end = self.value.start_mark, self.value.end_mark
        empty = start.line == end.line and start.column == end.column
        if self.value.id != "scalar" or empty:
            return self.position
        return position_of(self.value, self.position.path)


def entries(node: Node, where: Position, report: Report) -> list[Entry]:
    """The keys of a mapping node, merge keys (`<<`) resolved, duplicates reported."""
    found: dict[str, Entry] = {}
    merged: list[Entry] = []
    for key, value in node.value:
        if node_type(key) == "text" and key.tag == _TAG + "merge":
            merged += _merge(value, position_of(key, where.child_path("<<")), where, report)
        elif key.id != "scalar" or node_type(key) in ("nothing", "a list", "a mapping"):
            report.add(
                position_of(key, where.path), f"{describe(key)} as a key", "keys must be text"
            )
        else:
            here = position_of(key, where.child_path(key.value))
            if key.value in found:
                first = found[key.value].position.line
                report.add(here, f"given twice, first on line {first}", "must be given once")
            else:
                found[key.value] = Entry(key.value, here, value)
    for entry in merged:
        found.setdefault(entry.name, entry)
    return list(found.values())


def _merge(node: Node, key: Position, where: Position, report: Report) -> Iterator[Entry]:
    for source in node.value if node_type(node) == "a list" else [node]:
        if node_type(source) == "a mapping":
            yield from entries(source, where, report)
        else:
            report.add(key, describe(source), "must be a mapping, or a list of mappings")
