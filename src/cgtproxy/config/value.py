"""Values with their positions in the file, and what all types of value have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from cgtproxy.config.faults import Position, Report
from cgtproxy.config.nodes import describe, node_type, quoted

if TYPE_CHECKING:
    from cgtproxy.config.nodes import Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"
Schema: TypeAlias = dict[str, Json]


class Value(NamedTuple, Generic[T_co]):
    """What was read, and its position. `items`: the positions of the items of a list."""

    data: T_co
    position: Position
    items: tuple[Position, ...] = ()


def items(values: Value[tuple[T, ...]] | None) -> Iterator[Value[T]]:
    """The items of a list, if there is one; those of a default are at the position of the list."""
    if values:
        positions = values.items or (values.position,) * len(values.data)
        yield from map(Value, values.data, positions)


class Type(Protocol[T_co]):
    """A type of value, which reads YAML nodes."""

    @property
    def expected(self) -> str:
        """Completes the sentence "the value must be ...": "true or false"."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of what `read` accepts."""

    def read(self, node: Node, position: Position, report: Report) -> Value[T_co] | None:
        """The value of `node`, or None if it is at fault, which is then in `report`."""


class Scalar(ABC, Generic[T_co]):
    """A type of value that is one YAML scalar, of one of `node_types`.

    Messages do not quote a value that is `secret`.
    """

    def __init__(
        self,
        expected: str,
        schema: Schema,
        *,
        node_types: tuple[str, ...] = ("text",),
        secret: bool = False,
    ) -> None:
        self.expected = expected
        self.schema = schema
        self._node_types = node_types
        self._secret = secret

    @abstractmethod
    def convert(self, text: str) -> T_co:
        """The value that `text` stands for. Raises ValueError, which completes "TEXT ..."."""

    def read(self, node: Node, position: Position, report: Report) -> Value[T_co] | None:
        """The value of `node`, or None if it is at fault, which is then in `report`."""
        if node_type(node) in self._node_types:
            try:
                return Value(self.convert(node.value), position)
            except ValueError as error:
                problem = f"{'the value' if self._secret else quoted(node)} {error}"
        else:
            problem = describe(node)
        report.add(position, problem, f"must be {self.expected}")
        return None
