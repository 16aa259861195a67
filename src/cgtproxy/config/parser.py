"""The text of a configuration file to its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cgtproxy.config.checks import check_references, warn
from cgtproxy.config.dns.build import dns_of, hijack_of
from cgtproxy.config.faults import Fault, Place, Report
from cgtproxy.config.keys import FILE
from cgtproxy.config.model import (
    DIRECT,
    DROP,
    Config,
    Decision,
    Rule,
    Server,
    Tproxy,
    Workers,
)
from cgtproxy.config.nodes import compose
from cgtproxy.config.scalars import Value


@dataclass(frozen=True, slots=True)
class Parsed:
    """A valid configuration, and what in it is likely a mistake."""

    config: Config
    warnings: tuple[Fault, ...]


def parse(text: str, file: str) -> Parsed:
    """Read a configuration; `file` is the name that faults carry.

    Raises ConfigError with all faults of the text.
    """
    report = Report(file)
    start = Place(1, 1)
    root = None
    if node := compose(text, report):
        root = FILE.read(node, start, report)
    else:
        report.add(start, "the file is empty", f"must be {FILE.must}")
    if root:
        check_references(root, report)
    report.raise_if_any()
    assert root is not None
    config = _config(root)
    warnings = Report(file)
    warn(root, config, warnings)
    return Parsed(config, warnings.faults)


def _config(root: Value) -> Config:
    data = _plain(root)
    rules = root.data["rules"].data if "rules" in root.data else []
    root_path = data["cgroup-root"].rstrip("/") or "/"
    return Config(
        cgroup_root=None if root_path == "AUTO" else root_path,
        route_table=data["route-table"],
        rule_priority=data["rule-priority"],
        monitor=data["monitor"],
        bypass=tuple(data.get("bypass", ())),
        tproxies=tuple(_tproxy(name, keys) for name, keys in data.get("tproxies", {}).items()),
        rules=tuple(Rule(_plain(r)["match"], _decision(_plain(r)), r.place.line) for r in rules),
        workers=_workers(data["workers"]) if "workers" in data else None,
    )


def _workers(keys: dict[str, Any]) -> Workers:
    return Workers(**{key.replace("-", "_"): value for key, value in keys.items()})


def _tproxy(name: str, keys: dict[str, Any]) -> Tproxy:
    return Tproxy(
        name=name,
        port=keys["port"],
        mark=keys["mark"],
        no_udp=keys["no-udp"],
        no_ipv6=keys["no-ipv6"],
        dns_hijack=hijack_of(keys),
        server=_server(keys) if "upstream" in keys else None,
    )


def _server(keys: dict[str, Any]) -> Server:
    return Server(
        upstreams=tuple(keys["upstream"]),
        select=keys["select"],
        on_down=keys["on-down"],
        udp=keys["udp"],
        health_check=keys["health-check"],
        dns=dns_of(keys),
    )


def _decision(keys: dict[str, Any]) -> Decision:
    if keys.get("tproxy"):
        return Decision("tproxy", keys["tproxy"])
    return DROP if keys["drop"] else DIRECT


def _plain(value: Value) -> Any:
    """The value without places."""
    if isinstance(value.data, dict):
        return {key: _plain(child) for key, child in value.data.items()}
    if isinstance(value.data, list):
        return [_plain(child) for child in value.data]
    return value.data
