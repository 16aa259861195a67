"""Which configuration a command is about."""

from __future__ import annotations

import os

from cgtproxy import config


def load(explicit: str | None) -> config.Parsed:
    """The file of `-c`, else the default one, else the built-in configuration."""
    path = config.find(explicit, os.environ)
    return config.parse(config.BUILTIN, "built-in") if path is None else config.load(path)


def describe(explicit: str | None) -> str:
    path = config.find(explicit, os.environ)
    return "the built-in configuration (everything direct)" if path is None else str(path)
