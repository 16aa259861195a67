"""The types of value in one piece: each reads a YAML node and gives its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cgtproxy.config.faults import Place, Report
from cgtproxy.config.model import Upstream
from cgtproxy.config.nodes import describe, kind, shown
from cgtproxy.config.regex import compile_pattern
from cgtproxy.config.url import parse_upstream

if TYPE_CHECKING:
    from cgtproxy.config.nodes import Node


class Value(NamedTuple):
    """What was read, and where it stands. Mappings hold dicts of Values, lists lists of them."""

    data: Any
    place: Place


class Type(Protocol):
    """`must` completes the sentence "the value must be ..."."""

    @property
    def must(self) -> str: ...

    def read(self, node: Node, place: Place, report: Report) -> Value | None:
        """The value, or None for a node that is now reported as wrong."""

    def schema(self) -> dict[str, Any]: ...


class _Convertible(Protocol):
    """`kinds`: what the node may be. `convert`: ValueError says what is wrong with the text."""

    @property
    def must(self) -> str: ...

    @property
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def secret(self) -> bool:
        """Whether messages must not quote it."""

    def convert(self, text: str) -> Any: ...


class Scalar:
    kinds: tuple[str, ...] = ("text",)
    secret = False

    def read(self: _Convertible, node: Node, place: Place, report: Report) -> Value | None:
        wrong = describe(node)
        if kind(node) in self.kinds:
            try:
                return Value(self.convert(node.value), place)
            except ValueError as error:
                wrong = f"{'the value' if self.secret else shown(node)} {error}"
        report.add(place, wrong, f"must be {self.must}")
        return None


class Flag(Scalar):
    kinds = ("a boolean",)
    must = "true or false"

    # PyYAML follows YAML 1.1, and so did the files written for the forerunner.
    def convert(self, text: str) -> bool:
        if text.lower() not in ("true", "yes", "on", "false", "no", "off"):
            raise ValueError("is not a boolean")
        return text.lower() in ("true", "yes", "on")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Whole(Scalar):
    """A whole number from `low` to `high`, but none of `reserved`."""

    low: int
    high: int
    reserved: Mapping[int, str] = field(default_factory=dict)
    kinds = ("a number",)

    @property
    def must(self) -> str:
        if self.low == self.high:
            return f"{self.low}"
        but = f", but none of {', '.join(map(str, self.reserved))}" if self.reserved else ""
        return f"a whole number from {self.low} to {self.high}{but}"

    def convert(self, text: str) -> int:
        digits = text.replace("_", "").lower()
        if not re.fullmatch(r"[-+]?(0x[0-9a-f]+|0b[01]+|0[0-7]+|0|[1-9][0-9]*)", digits):
            raise ValueError("is not a whole number")
        octal = re.fullmatch(r"[-+]?0[0-7]+", digits)
        # int() refuses thousands of decimal digits with a reason of its own.
        number = int(digits, 8 if octal else 0) if len(digits) < 100 else self.high + 1
        if not self.low <= number <= self.high:
            raise ValueError("is out of range")
        if number in self.reserved:
            raise ValueError(f"is reserved ({self.reserved[number]})")
        return number

    def schema(self) -> dict[str, Any]:
        if self.low == self.high:
            return {"type": "integer", "const": self.low}
        limits: dict[str, Any] = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return limits | ({"not": {"enum": list(self.reserved)}} if self.reserved else {})


@dataclass(frozen=True)
class Text(Scalar):
    """Text as it is written: a value such as 5 or true that YAML would convert included."""

    must: str
    pattern: str = ""
    kinds = ("text", "a number", "a boolean", "a date")

    def convert(self, text: str) -> str:
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError("does not fit")
        if not text.isascii() and re.search("[\ud800-\udfff]", text):
            raise ValueError("holds half a character (a lone surrogate)")
        return text

    def schema(self) -> dict[str, Any]:
        if self.pattern:
            return {"type": "string", "pattern": f"^({self.pattern})$"}
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True)
class Choice(Scalar):
    of: tuple[str, ...]

    @property
    def must(self) -> str:
        return f"one of {', '.join(self.of)}"

    def convert(self, text: str) -> str:
        if text not in self.of:
            raise ValueError("is none of them")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.of)}


class Url(Scalar):
    secret = True  # has a password
    must = (
        "an upstream URL: direct://, drop://, socks5://HOST:PORT, http://HOST:PORT "
        "or https://HOST:PORT"
    )

    def convert(self, text: str) -> Upstream:
        try:
            return parse_upstream(text)
        except ValueError as error:
            raise ValueError(f"is not an upstream URL ({error})") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class Regex(Text):
    def __init__(self) -> None:
        super().__init__("a regular expression in RE2 syntax")

    def convert(self, text: str) -> str:
        pattern = super().convert(text)
        try:
            compile_pattern(pattern)
        except ValueError as error:
            raise ValueError(f"is not a valid regular expression ({error})") from None
        return pattern


@dataclass(frozen=True)
class Address(Scalar):
    of: type[IPv4Address] | type[IPv6Address]

    @property
    def must(self) -> str:
        return f"an {self.of.__name__.removesuffix('Address')} address"

    def convert(self, text: str) -> IPv4Address | IPv6Address:
        try:
            return self.of(unscoped(text))
        except ValueError:
            raise ValueError(f"is not {self.must}") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": self.of.__name__.removesuffix("Address").lower()}


class Block(Scalar):
    must = "an IPv4 or IPv6 address or CIDR, without a scope"

    def convert(self, text: str) -> Any:
        try:
            return ip_network(unscoped(text), strict=False)
        except ValueError:
            raise ValueError("is not an address or CIDR") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9.]+)?$"}


def unscoped(text: str) -> str:
    """A scope (`%eth0`) means an interface, of which nftables' address sets know nothing."""
    if "%" in text:
        raise ValueError
    return text
