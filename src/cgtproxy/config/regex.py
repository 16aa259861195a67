"""RE2 patterns as rules use them: searched, not anchored, in paths that begin with `/`."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _options() -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False  # RE2 would write to stderr by itself
    # A search allots threads × groups: 100 GB for a pattern of 100,000 pairs of parentheses.
    options.never_capture = True
    return options


def compile_pattern(pattern: str) -> Any:
    """RE2's compiled pattern. ValueError: RE2's reason why it is none."""
    import re2

    try:
        return re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode(errors="replace")) from None


def matches_every_path(pattern: str) -> bool:
    """Whether a search finds `pattern` in every path, newlines in cgroup names left aside.

    All that paths have in common is the `/` they begin with. So the match must lie within that
    first byte whatever follows. What holds there before any other character (`\\B`) holds before
    the end or a newline, too, and of the rest only a word character differs (`\\b`). The answer
    is exact but for patterns that take in the rest of the path, of which `.*$` alone is usual.
    """
    regexp = compile_pattern(_without_rest(pattern))
    return all(regexp.search("/" + after, 0, 1) for after in ("a", "."))


def _without_rest(pattern: str) -> str:
    stem = pattern.removesuffix(".*$")
    return pattern if stem.endswith("\\") or "\\Q" in stem else stem
