"""The types of value in one piece."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeVar

from cgtproxy.config.model import Network, Upstream
from cgtproxy.config.regex import Pattern, check_pattern
from cgtproxy.config.url import parse_upstream
from cgtproxy.config.value import Scalar, Schema

L = TypeVar("L", bound=str)
A = TypeVar("A", IPv4Address, IPv6Address)
# Where text is expected, what YAML takes for another type is text as it is written.
_TEXTUAL = ("text", "a number", "a boolean", "a date")
_ANY_TEXT: Schema = {"type": ["string", "number", "boolean"]}


class Boolean(Scalar[bool]):
    """True or false."""

    def __init__(self) -> None:
        super().__init__("true or false", {"type": "boolean"}, node_types=("a boolean",))

    def convert(self, text: str) -> bool:
        """In the words of YAML 1.1, which PyYAML and files of the forerunner follow."""
        if text.lower() not in ("true", "yes", "on", "false", "no", "off"):
            raise ValueError("is not a boolean")
        return text.lower() in ("true", "yes", "on")


class Integer(Scalar[int]):
    """A whole number from `low` to `high`, but none of `reserved`, which says by whom."""

    def __init__(self, low: int, high: int, reserved: Mapping[int, str] | None = None) -> None:
        self.low = low
        self.high = high
        self.reserved = reserved or {}
        expected = f"a whole number from {low} to {high}"
        schema: Schema = {"type": "integer", "minimum": low, "maximum": high}
        if low == high:
            expected = f"{low}"
            schema = {"type": "integer", "const": low}
        if reserved:
            expected += f", but none of {', '.join(map(str, reserved))}"
            schema["not"] = {"enum": list(reserved)}
        super().__init__(expected, schema, node_types=("a number",))

    def convert(self, text: str) -> int:
        """As YAML 1.1 writes numbers: decimal, hexadecimal, octal or binary."""
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


class Text(Scalar[str]):
    """Text as it is written, also if YAML would read it as a number, a boolean or a date."""

    def __init__(self, expected: str, pattern: str = "") -> None:
        self.pattern = pattern
        schema: Schema = {"type": "string", "pattern": f"^({pattern})$"} if pattern else _ANY_TEXT
        super().__init__(expected, schema, node_types=_TEXTUAL)

    def convert(self, text: str) -> str:
        """The text itself."""
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError("does not fit")
        return check_encodable(text)


class Choice(Scalar[L]):
    """One of several words; `Choice[Literal["a", "b"]]("a", "b")` gives literals."""

    def __init__(self, *words: L) -> None:
        self.words = words
        super().__init__(f"one of {', '.join(words)}", {"type": "string", "enum": list(words)})

    def convert(self, text: str) -> L:
        """The word itself."""
        for word in self.words:
            if word == text:
                return word
        raise ValueError("is none of them")


class UpstreamUrl(Scalar[Upstream]):
    """The URL of an upstream. It may hold a password."""

    def __init__(self) -> None:
        expected = (
            "an upstream URL: direct://, drop://, socks5://HOST:PORT, http://HOST:PORT "
            "or https://HOST:PORT"
        )
        super().__init__(expected, {"type": "string"}, secret=True)

    def convert(self, text: str) -> Upstream:
        """The upstream."""
        try:
            return parse_upstream(text)
        except ValueError as error:
            raise ValueError(f"is not an upstream URL ({error})") from None


class Regex(Scalar[Pattern]):
    """A regular expression in RE2's syntax."""

    def __init__(self) -> None:
        super().__init__("a regular expression in RE2 syntax", _ANY_TEXT, node_types=_TEXTUAL)

    def convert(self, text: str) -> Pattern:
        """The pattern, which RE2 can compile."""
        check_encodable(text)
        try:
            return check_pattern(text)
        except ValueError as error:
            raise ValueError(f"is not a valid regular expression ({error})") from None


class Address(Scalar[A]):
    """An address of one family, `IPv4Address` or `IPv6Address`."""

    def __init__(self, of: type[A]) -> None:
        self.of: type[A] = of
        family = of.__name__.removesuffix("Address")
        super().__init__(f"an {family} address", {"type": "string", "format": family.lower()})

    def convert(self, text: str) -> A:
        """The address."""
        try:
            return self.of(check_unscoped(text))
        except ValueError:
            raise ValueError(f"is not {self.expected}") from None


class Cidr(Scalar[Network]):
    """A network of either family, or an address."""

    def __init__(self) -> None:
        expected = "an IPv4 or IPv6 address or CIDR, without a scope"
        super().__init__(expected, {"type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9.]+)?$"})

    def convert(self, text: str) -> Network:
        """The network; bits after the prefix do not matter."""
        try:
            return ip_network(check_unscoped(text), strict=False)
        except ValueError:
            raise ValueError("is not an address or CIDR") from None


def check_encodable(text: str) -> str:
    """`text`, if it can be written in UTF-8. Raises ValueError for half a character."""
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise ValueError("holds half a character (a lone surrogate)")
    return text


def check_unscoped(text: str) -> str:
    """`text`, an address, if it has no scope (`%eth0`), as in nftables' sets. Raises ValueError."""
    if "%" in text:
        raise ValueError
    return text
