"""Mappings with fixed keys: each is a class with a row for each of its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast, overload

from cgtproxy.config.faults import Position, Report
from cgtproxy.config.nodes import describe, entries, node_type
from cgtproxy.config.scalars import Boolean
from cgtproxy.config.value import Json, Schema, T, T_co, Type, Value

if TYPE_CHECKING:
    from cgtproxy.config.nodes import Node

M = TypeVar("M")
S = TypeVar("S", bound="Section")


class Key(Generic[T_co]):
    """A key of a section: its type, and what it means. One that is not required may be null.

    `name` is its name in the file, if that is not the attribute's with hyphens.
    """

    def __init__(
        self,
        type: Type[T_co],
        doc: str,
        *,
        name: str = "",
        required: bool = False,
        default: T_co | None = None,
    ) -> None:
        self.type = type
        self.doc = doc
        self.name = name
        self.required = required
        self.default = default

    def __set_name__(self, section: type[Section], field: str) -> None:
        self.field = field
        self.name = self.name or field.replace("_", "-")

    @overload
    def __get__(self, section: None, _: type[Section]) -> Key[T_co]: ...
    @overload
    def __get__(self, section: Section, _: type[Section]) -> Value[T_co] | None: ...
    def __get__(self, section: Section | None, _: type[Section]) -> Key[T_co] | Value[T_co] | None:
        if section is None:
            return self
        if self.name in section.read:
            return cast("Value[T_co] | None", section.read[self.name])  # our type has read it
        if self.default is None:
            return None
        return Value(self.default, section.position.child(self.name))

    @property
    def schema(self) -> Schema:
        """The schema of its type, with its description and default."""
        schema: Schema = {"description": self.doc} | self.type.schema
        if not self.required:
            schema["type"] = [*_several(schema["type"]), "null"]
            if "enum" in schema:
                schema["enum"] = [*_several(schema["enum"]), None]
        if self.default is not None:
            schema["default"] = _shown(self.default)
        return schema


def _several(one_or_more: Json) -> list[Json]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _shown(default: object) -> Json:
    if type(default) is tuple:
        return [_shown(item) for item in default]
    return default if isinstance(default, int) else str(default)


class Section:
    """What was read from a mapping with fixed keys. Each subclass is such a mapping.

    A subclass has an attribute for each key, which is its `Key`. In an instance this is the value
    with its position: the default if the file has none; None if there is no default either, or
    if the file's value is at fault.
    """

    keys: ClassVar[Mapping[str, Key[object]]] = {}  # by their names in the file

    def __init_subclass__(cls) -> None:
        keys = [key for key in vars(cls).values() if isinstance(key, Key)]
        cls.keys = {key.name: key for key in keys}

    def __init__(self, position: Position, read: Mapping[str, Value[object] | None]) -> None:
        self.position = position
        self.read = read  # without defaults; None is a value at fault

    def given(self, key: Key[T]) -> Value[T] | None:
        """The value of `key` if the file has it: not a default, and not at fault."""
        return key.__get__(self, type(self)) if key.name in self.read else None

    def fill(self, model: Callable[..., M], **others: object) -> M:
        """Make a `model` (a named tuple): its fields have the values of the keys of that name.

        `others` are fields that no key fills by itself. The section must be without faults.
        """
        fields: dict[str, object] = {}
        for key in self.keys.values():
            value = key.__get__(self, type(self)) if key.field in model.__annotations__ else None
            if value:
                fields[key.field] = value.data
        return model(**(fields | others))


def data(value: Value[T] | None) -> T:
    """The data of a key that is required or has a default, in a section without faults."""
    assert value is not None
    return value.data


class Table(Generic[S]):
    """The type of a mapping that becomes a section.

    Exactly one of the keys `one_of` must be given and be neither false nor empty.
    """

    def __init__(self, section: type[S], one_of: tuple[str, ...] = ()) -> None:
        self.section = section
        self.keys = section.keys
        self.one_of = one_of
        self._required = [name for name, key in self.keys.items() if key.required]
        self.expected = f"a mapping with {', '.join(self._required or self.keys)}"

    def read(self, node: Node, position: Position, report: Report) -> Value[S] | None:
        """The section, without values at fault, or None if `node` is no mapping."""
        if node_type(node) != "a mapping":
            report.add(position, describe(node), f"must be {self.expected}")
            return None
        read: dict[str, Value[object] | None] = {}
        for entry in entries(node, position, report):
            name = entry.name
            if (key := self.keys.get(name)) is None:
                similar = report.suggest(name, list(self.keys))
                report.add(
                    entry.position, f"unknown key{similar}", f"can be {', '.join(self.keys)}"
                )
            elif key.required or node_type(entry.value) != "nothing":
                read[name] = key.type.read(entry.value, entry.value_position, report)
        for name in self._required:
            if name not in read:
                expected = f"must be {self.keys[name].type.expected}"
                report.add(position.child(name), "is missing", expected)
        if self.one_of:
            self._check_one_of(read, position, report)
        return Value(self.section(position, read), position)

    def _check_one_of(
        self, read: Mapping[str, Value[object] | None], position: Position, report: Report
    ) -> None:
        values = {name: read[name] for name in self.one_of if name in read}
        if None in values.values():
            return  # a faulty one may be the one that is meant
        given = [name for name, value in values.items() if value and value.data]
        if len(given) != 1:
            problem = f"{' and '.join(given)} exclude each other" if given else "names no target"
            report.add(position, problem, f"must have exactly one of {', '.join(self.one_of)}")

    @property
    def schema(self) -> Schema:
        """An object with the keys as properties."""
        schema: Schema = {
            "type": "object",
            "properties": {name: key.schema for name, key in self.keys.items()},
            "required": self._required,
            "additionalProperties": False,
        }
        if self.one_of:
            schema["oneOf"] = [
                {"required": [name], "properties": {name: {"not": {"enum": [None, empty]}}}}
                for name in self.one_of
                for empty in [False if isinstance(self.keys[name].type, Boolean) else ""]
            ]
        return schema
