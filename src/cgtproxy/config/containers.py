"""The types of value that hold others: lists, and mappings whose keys are names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from cgtproxy.config.faults import Position, Report
from cgtproxy.config.nodes import describe, entries, node_type, position_of
from cgtproxy.config.scalars import Text
from cgtproxy.config.section import S, Table
from cgtproxy.config.value import Schema, T_co, Type, Value

if TYPE_CHECKING:
    from cgtproxy.config.nodes import Node


class List(Generic[T_co]):
    """A list whose items have one type. Items at fault are left out."""

    def __init__(self, of: Type[T_co], expected: str) -> None:
        self.of = of
        self.expected = expected

    def read(
        self, node: Node, position: Position, report: Report
    ) -> Value[tuple[T_co, ...]] | None:
        """The items, or None if `node` is no list."""
        if node_type(node) != "a list":
            report.add(position, describe(node), f"must be {self.expected}")
            return None
        read = (
            self.of.read(item, position_of(item, f"{position.path}[{number}]"), report)
            for number, item in enumerate(node.value)
        )
        good = [value for value in read if value]
        return Value(
            tuple([value.data for value in good]),
            position,
            tuple([value.position for value in good]),
        )

    @property
    def schema(self) -> Schema:
        """An array."""
        return {"type": "array", "items": self.of.schema}


class OneOrMore(List[T_co]):
    """A list that is not empty, or what would be its only item."""

    def read(
        self, node: Node, position: Position, report: Report
    ) -> Value[tuple[T_co, ...]] | None:
        """The items, or None if there is none, or the only one is at fault."""
        if node_type(node) != "a list":
            one = self.of.read(node, position, report)
            return Value((one.data,), position) if one else None
        if not node.value:
            report.add(position, "an empty list is given", f"must be {self.expected}")
            return None
        return super().read(node, position, report)

    @property
    def schema(self) -> Schema:
        """An array, or one of its items."""
        one = self.of.schema
        types: Schema = {"type": [one["type"], "array"]}
        return {**types, "minItems": 1, "items": one, **one, **types}


class Named(Generic[S]):
    """A mapping from names of the user's choice to sections. A section at fault is empty."""

    def __init__(self, name: Text, of: Table[S], expected: str) -> None:
        self.name = name
        self.of = of
        self.expected = expected

    def read(self, node: Node, position: Position, report: Report) -> Value[dict[str, S]] | None:
        """The sections by name, or None if `node` is no mapping."""
        if node_type(node) != "a mapping":
            report.add(position, describe(node), f"must be {self.expected}")
            return None
        sections: dict[str, S] = {}
        for name, here, value in entries(node, position, report):
            try:
                self.name.convert(name)
            except ValueError as error:
                report.add(here, f"the name {error}", f"must be {self.name.expected}")
            read = self.of.read(value, here, report)
            sections[name] = read.data if read else self.of.section(here, {})
        return Value(sections, position)

    @property
    def schema(self) -> Schema:
        """An object with any properties."""
        return {
            "type": "object",
            "propertyNames": self.name.schema,
            "additionalProperties": self.of.schema,
        }
