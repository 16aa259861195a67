"""What is wrong with a configuration file, and where."""

from __future__ import annotations

from typing import NamedTuple

from cgtproxy.errors import CgtproxyError, ExitCode


class Fault(NamedTuple):
    """One fault or warning: the problem, and what is expected instead or how to solve it.

    `line` and `column` are 1-based; line 0 means the whole file.
    """

    file: str
    line: int
    column: int
    key: str
    problem: str
    expected: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [where, self.key, self.problem] if self.key else [where, self.problem]
        return ": ".join(parts) + (f"; {self.expected}" if self.expected else "")


class ConfigError(CgtproxyError):
    """All faults of one file, sorted by position; its text has one a line."""

    exit_code = ExitCode.CONFIG

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Position(NamedTuple):
    """The position of a value in the text (1-based), and the path of its key: `rules[0].match`."""

    line: int
    column: int
    path: str = ""

    def child_path(self, name: str) -> str:
        """The path of a key in the mapping at this position."""
        shown = name if name.replace("-", "").replace("_", "").isalnum() else show(name)
        return f"{self.path}.{shown}" if self.path else shown

    def child(self, name: str) -> Position:
        """The position that stands for a key that the mapping at this position does not have."""
        return Position(self.line, self.column, self.child_path(name))


class Report:
    """Collects the faults of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._faults: list[Fault] = []

    def add(self, position: Position, problem: str, expected: str = "") -> None:
        """Add a fault. `expected`: what should be there, or what to do about it."""
        self._faults.append(Fault(self.file, *position, problem, expected))

    def suggest(self, word: str, known: list[str]) -> str:
        """`, did you mean 'x'?` where one of `known` is similar to `word`, else ""."""
        # A file with this many faults is not a mistyped one, and difflib is slow.
        if len(self._faults) > 100:
            return ""
        from difflib import get_close_matches

        similar = get_close_matches(word, known, n=1)
        return f", did you mean {show(similar[0])}?" if similar else ""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults so far, sorted by position."""
        return tuple(sorted(self._faults))

    def raise_if_any(self) -> None:
        """Raise ConfigError if there are faults."""
        if self._faults:
            raise ConfigError(self.faults)


def show(text: str) -> str:
    """`text` quoted, on one line, and short enough to read."""
    return repr(shorten(text))


def shorten(text: str) -> str:
    """`text`, cut after 60 characters."""
    return text if len(text) <= 60 else text[:57] + "..."
