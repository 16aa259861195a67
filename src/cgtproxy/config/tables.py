"""The types of value that hold others: lists, mappings with names, mappings with fixed keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cgtproxy.config.faults import Place, Report
from cgtproxy.config.nodes import describe, entries, kind
from cgtproxy.config.nodes import place as place_of
from cgtproxy.config.scalars import Flag, Text, Type, Value

if TYPE_CHECKING:
    from cgtproxy.config.nodes import Node


@dataclass(frozen=True)
class List:
    of: Type
    must: str

    def read(self, node: Node, place: Place, report: Report) -> Value | None:
        if kind(node) != "a list":
            report.add(place, describe(node), f"must be {self.must}")
            return None
        read = []
        for number, item in enumerate(node.value):
            here = place_of(item, f"{place.path}[{number}]")
            read.append(self.of.read(item, here, report) or Value(None, here))
        return Value(read, place)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.schema()}


@dataclass(frozen=True)
class OneOrMore:
    """A list that is not empty, or what would be its only item."""

    of: Type
    must: str

    def read(self, node: Node, place: Place, report: Report) -> Value | None:
        if kind(node) != "a list":
            one = self.of.read(node, place, report)
            return one and Value([one], place)
        if not node.value:
            report.add(place, "an empty list is given", f"must be {self.must}")
            return None
        return List(self.of, self.must).read(node, place, report)

    def schema(self) -> dict[str, Any]:
        one = self.of.schema()
        return {"type": [one.pop("type"), "array"], "minItems": 1, "items": self.of.schema(), **one}


@dataclass(frozen=True)
class Named:
    """A mapping whose keys are names of the user's own choice."""

    name: Text
    of: Type
    must: str

    def read(self, node: Node, place: Place, report: Report) -> Value | None:
        if kind(node) != "a mapping":
            report.add(place, describe(node), f"must be {self.must}")
            return None
        read = {}
        for name, here, value in entries(node, place, report):
            try:
                self.name.convert(name)
            except ValueError as error:
                report.add(here, f"the name {error}", f"must be {self.name.must}")
            read[name] = self.of.read(value, here, report) or Value({}, here)
        return Value(read, place)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": self.of.schema(),
        }


@dataclass(frozen=True)
class Key:
    """What a key means. A key that is not `required` may be left out or be null."""

    type: Type
    doc: str
    required: bool = False
    default: Any = None  # a tuple for a list

    def schema(self) -> dict[str, Any]:
        schema = {"description": self.doc} | self.type.schema()
        if not self.required:
            types = schema["type"]
            schema["type"] = [*([types] if isinstance(types, str) else types), "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        if self.default is not None:
            schema["default"] = _shown(self.default)
        return schema


def _shown(default: Any) -> Any:
    if type(default) is tuple:
        return [_shown(item) for item in default]
    return default if isinstance(default, int) else str(default)


@dataclass(frozen=True)
class Table:
    """A mapping with fixed keys; exactly one of `one_of` must be given and not false or empty."""

    keys: Mapping[str, Key]
    one_of: tuple[str, ...] = ()

    @property
    def must(self) -> str:
        needed = [name for name, key in self.keys.items() if key.required]
        return f"a mapping with {', '.join(needed or self.keys)}"

    def read(self, node: Node, place: Place, report: Report) -> Value | None:
        if kind(node) != "a mapping":
            report.add(place, describe(node), f"must be {self.must}")
            return None
        read: dict[str, Value | None] = {}
        for entry in entries(node, place, report):
            name = entry.name
            if (key := self.keys.get(name)) is None:
                near = report.suggest(name, list(self.keys))
                report.add(entry.place, f"unknown key{near}", f"can be {', '.join(self.keys)}")
            elif key.required or kind(entry.value) != "nothing":
                read[name] = key.type.read(entry.value, entry.value_place, report)
        for name, key in self.keys.items():
            here = place._replace(path=place.child(name))
            if name not in read and key.required:
                report.add(here, "is missing", f"must be {key.type.must}")
            elif name not in read and key.default is not None:
                read[name] = Value(key.default, here)
        self._check_one_of(read, place, report)
        return Value({name: value for name, value in read.items() if value}, place)

    def _check_one_of(self, read: dict[str, Any], place: Place, report: Report) -> None:
        if any(name in read and read[name] is None for name in self.one_of):
            return  # a faulty one may be the one that is meant
        given = [name for name in self.one_of if name in read and read[name].data]
        if self.one_of and len(given) != 1:
            wrong = f"{' and '.join(given)} exclude each other" if given else "names no target"
            report.add(place, wrong, f"must have exactly one of {', '.join(self.one_of)}")

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: key.schema() for name, key in self.keys.items()},
            "required": [name for name, key in self.keys.items() if key.required],
            "additionalProperties": False,
        }
        if self.one_of:
            schema["oneOf"] = [
                {"required": [name], "properties": {name: {"not": {"enum": [None, empty]}}}}
                for name in self.one_of
                for empty in [False if isinstance(self.keys[name].type, Flag) else ""]
            ]
        return schema
