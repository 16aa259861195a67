"""Configuration files for the daemon under test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .network import TPROXY_PORT

FIRST = {"first": {"port": TPROXY_PORT, "mark": 3000}}
BY_NAME = {"^/proxy": "first", "^/drop": "drop", "^/direct": "direct"}


def config(
    rules: Mapping[str, str] = BY_NAME,
    *,
    tproxies: Mapping[str, Mapping[str, Any]] = FIRST,
    **keys: object,
) -> str:
    """A configuration: `rules` maps patterns, in order, to "direct", "drop" or a TPROXY's name.

    Other keys are given with `_` for `-`; what must be there and is not given gets a value.
    """
    document: dict[str, object] = {
        "version": 1,
        "cgroup-root": "AUTO",
        "route-table": 300,
        "bypass": ["127.0.0.0/8", "::1"],
        "tproxies": tproxies,
        "rules": [{"match": match, **_target(target)} for match, target in rules.items()],
    }
    document |= {key.replace("_", "-"): value for key, value in keys.items()}
    return json.dumps(document, indent=1)  # which is YAML too


def _target(target: str) -> dict[str, object]:
    return {target: True} if target in ("direct", "drop") else {"tproxy": target}
