"""Which configuration a command is about."""

from __future__ import annotations

import os

from cgtproxy.config import parser, source


def load(explicit: str | None) -> parser.Parsed:
    """The file of `-c`, else the default one, else the built-in configuration."""
    path = source.find(explicit, os.environ)
    return parser.parse(source.BUILTIN, "built-in") if path is None else source.load(path)


def describe(explicit: str | None) -> str:
    """The name of that configuration, for people."""
    path = source.find(explicit, os.environ)
    return "the built-in configuration (everything direct)" if path is None else str(path)
