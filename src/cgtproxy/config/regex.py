"""RE2 patterns as rules use them: searched, not anchored, in paths that begin with `/`."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, Protocol


class Pattern(NamedTuple):
    """An RE2 pattern that is valid.

    `matches_every_path`: whether a search finds it in every path, newlines in the names of
    cgroups left aside. Exact but for patterns that take in the rest of the path, of which `.*$`
    alone is usual.
    """

    text: str
    matches_every_path: bool


class _Compiled(Protocol):
    """What is used of `re2._Regexp`; the package has no types."""

    def search(self, text: bytes, pos: int, endpos: int) -> object | None: ...


def check_pattern(text: str) -> Pattern:
    """Compile a pattern, once. ValueError: RE2's reason why it is none."""
    compiled = _compile(text)
    stem = text.removesuffix(".*$")
    if stem != text and not stem.endswith("\\") and "\\Q" not in stem:
        compiled = _compile(stem)
    return Pattern(text, _matches_every_path(compiled))


def _matches_every_path(pattern: _Compiled) -> bool:
    """Whether it matches within the `/` that every path begins with, whatever follows.

    What holds there before any other character (`\\B`) holds before the end or a newline, too,
    and of the rest only a word character differs (`\\b`).
    """
    return all(pattern.search(path, 0, 1) for path in (b"/a", b"/."))


def _compile(text: str) -> _Compiled:
    import re2

    try:
        compiled: _Compiled = re2.compile(text, _options())
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode(errors="replace")) from None
    return compiled


@cache
def _options() -> object:
    import re2

    options = re2.Options()
    options.log_errors = False  # RE2 would write to stderr by itself
    # A search allots threads × groups: 100 GB for a pattern of 100,000 pairs of parentheses.
    options.never_capture = True
    return options
