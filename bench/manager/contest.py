"""Contenders in turn, round by round, and the table of what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

Figures = dict[str, float | None]  # None: it never came to that
Scale = Callable[[int], int]  # from the full size of a measurement to the size that is asked for


class Figure(NamedTuple):
    """Something measured, less being better; `bar` is what ours is to reach, in `unit`."""

    what: str
    unit: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Section:
    """Contenders by name, ours first, each of which measures `figures` once when called."""

    title: str
    figures: Iterable[Figure]
    contenders: Mapping[str, Callable[[], Figures]]
    most_rounds: int = 99


def run(section: Section, rounds: int) -> list[str]:
    """The lines of the table for this section."""
    results: dict[str, list[Figures]] = {name: [] for name in section.contenders}
    for number in range(min(rounds, section.most_rounds)):
        # Back and forth, so that none always profits by what the other left in the caches.
        order = list(results) if number % 2 == 0 else list(results)[::-1]
        for name in order:
            results[name].append(section.contenders[name]())
    return [_head(section), *(_row(figure, results) for figure in section.figures), ""]


def _head(section: Section) -> str:
    columns = [f"{name:>12}" + " " * 5 * (at == 0) for at, name in enumerate(section.contenders)]
    ratio = " ratio" if len(columns) > 1 else ""
    return f"{section.title:44}{'bar':>9}" + "".join(columns) + ratio


def _row(figure: Figure, results: Mapping[str, list[Figures]]) -> str:
    series = [[figures[figure.what] for figures in rounds] for rounds in results.values()]
    values = [_median(values) for values in series]
    bar = f"≤ {figure.bar:g} {figure.unit}" if figure.bar is not None else ""
    row = f"  {figure.what:42}{bar:>9}"
    for at, value in enumerate(values):
        row += f"{_text(value, figure.unit):>12}"
        if at == 0:
            row += f" {_verdict(value, figure.bar):4}"
    ours, *others = series
    if others:
        # Of neighbours in time, so that a busy moment of the machine counts for both.
        pairs = zip(ours, others[0], strict=True)
        ratios = [a / b for a, b in pairs if a is not None and b]
        row += f"{median(ratios):6.2f}" if ratios and values[1] else "     -"
    return row


def _median(values: Iterable[float | None]) -> float | None:
    """None as soon as one is None: a failure is not to be averaged away."""
    known = list(values)
    return None if None in known else median(v for v in known if v is not None)


def _text(value: float | None, unit: str) -> str:
    if value is None:
        return "never"
    digits = 0 if not unit or value >= 1000 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}".strip()


def _verdict(value: float | None, bar: float | None) -> str:
    if bar is None:
        return ""
    return "pass" if value is not None and value <= bar else "MISS"
