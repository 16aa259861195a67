"""Each key has the name, the type and the default of the model's field that it fills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_type_hints

import pytest

from cgtproxy.config import checks, dns_checks, dns_warnings, warnings
from cgtproxy.config.checks import CHECKS
from cgtproxy.config.containers import List, Named
from cgtproxy.config.dns.keys import DEFAULT_EXCLUDE, DnsHijackKeys, DnsKeys
from cgtproxy.config.dns.scalars import Pool
from cgtproxy.config.keys import FileKeys, RuleKeys, TproxyKeys, WorkersKeys
from cgtproxy.config.model import (
    Config,
    Decision,
    Dns,
    DnsHijack,
    FakePool,
    Rule,
    Server,
    Tproxy,
    Workers,
)
from cgtproxy.config.regex import Pattern
from cgtproxy.config.scalars import Address, Choice
from cgtproxy.config.section import Key, Section, Table
from cgtproxy.config.warnings import WARNINGS

MODELS: dict[type[Section], tuple[Any, ...]] = {
    FileKeys: (Config,),
    TproxyKeys: (Tproxy, Server),
    RuleKeys: (Rule, Decision),
    WorkersKeys: (Workers,),
    DnsKeys: (Dns, FakePool),
    DnsHijackKeys: (DnsHijack,),
}
# Of these a section's build() makes something else.
NO_FIELDS = {"version", "mode", "direct", "drop"}
OTHER_TYPES = {"match": Pattern}
# The model's defaults are those of a DNS server that only forwards.
OTHER_DEFAULTS = {"exclude": DEFAULT_EXCLUDE}

MISSING = object()  # no default

KEYS = [(section, key) for section in MODELS for key in section.keys.values()]
each_key = pytest.mark.parametrize(
    ("section", "key"), KEYS, ids=[f"{section.__name__}.{key.field}" for section, key in KEYS]
)


def gives(type_: Any) -> Any:
    """What values of this type are in the model."""
    match type_:
        case Choice(words=words):
            return Literal[words]
        case Address(of=of) | Pool(of=of):
            return of
        case List(of=of) | Named(of=of):
            item: Any = gives(of)
            return tuple[item, ...]
        case Table(section=section):
            return get_type_hints(section.build)["return"]
    return get_type_hints(type_.convert)["return"]


def fields_of(key: Key[Any], section: type[Section]) -> Iterator[tuple[Any, Any]]:
    """Type and default of each field of the name."""
    for model in MODELS[section]:
        if key.field in (hints := get_type_hints(model)):
            yield hints[key.field], model._field_defaults.get(key.field, MISSING)


def test_all_sections_are_here() -> None:
    assert set(MODELS) == set(Section.__subclasses__())


def test_every_check_and_every_warning_runs() -> None:
    modules = (checks, dns_checks, warnings, dns_warnings)
    found = {
        function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith(("check_", "warn_"))
    }
    assert found == {*CHECKS, *WARNINGS}


@each_key
def test_a_key_fills_one_field(section: type[Section], key: Key[Any]) -> None:
    found = list(fields_of(key, section))
    assert len(found) == (0 if key.name in NO_FIELDS else 1)


@each_key
def test_the_field_has_the_type_of_the_key(section: type[Section], key: Key[Any]) -> None:
    for hint, _ in fields_of(key, section):
        given = gives(key.type)
        if key.name in OTHER_TYPES:
            assert given == OTHER_TYPES[key.name]
        else:
            assert given == hint or given in get_args(hint)


@each_key
def test_the_field_has_the_default_of_the_key(section: type[Section], key: Key[Any]) -> None:
    for _, default in fields_of(key, section):
        if key.required:
            assert key.default is None
        elif key.name in OTHER_DEFAULTS:
            assert key.default == OTHER_DEFAULTS[key.name] != default
        elif default is not MISSING:  # else build() always has a value
            assert default == key.default or (key.default is None and not default)
