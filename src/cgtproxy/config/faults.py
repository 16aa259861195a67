"""What is wrong with a configuration file, and where."""

from __future__ import annotations

from typing import NamedTuple

from cgtproxy.errors import CgtproxyError, ExitCode


class Fault(NamedTuple):
    """One fault (or warning). `line` and `column` are 1-based; line 0 means the whole file."""

    file: str
    line: int
    column: int
    key: str
    wrong: str
    allowed: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [where, self.key, self.wrong] if self.key else [where, self.wrong]
        return ": ".join(parts) + (f"; {self.allowed}" if self.allowed else "")


class ConfigError(CgtproxyError):
    """All faults of one file, sorted by position; its text has one a line."""

    exit_code = ExitCode.CONFIG

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Place(NamedTuple):
    """Where a value stands in the text (1-based), and the path of its key."""

    line: int
    column: int
    path: str = ""

    def child(self, name: str) -> str:
        shown = name if name.replace("-", "").replace("_", "").isalnum() else show(name)
        return f"{self.path}.{shown}" if self.path else shown


class Report:
    """Collects the faults of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._faults: list[Fault] = []

    def add(self, place: Place, wrong: str, allowed: str = "") -> None:
        self._faults.append(Fault(self.file, place.line, place.column, place.path, wrong, allowed))

    def suggest(self, word: str, known: list[str]) -> str:
        """`, did you mean 'x'?` where one of `known` is near to `word`, else ""."""
        # A file with this many faults is not a mistyped one, and difflib is slow.
        if len(self._faults) > 100:
            return ""
        from difflib import get_close_matches

        near = get_close_matches(word, known, n=1)
        return f", did you mean {show(near[0])}?" if near else ""

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(sorted(self._faults))

    def raise_if_any(self) -> None:
        if self._faults:
            raise ConfigError(self.faults)


def show(text: str) -> str:
    """`text` quoted, on one line, and short enough to read."""
    return repr(shorten(text))


def shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
