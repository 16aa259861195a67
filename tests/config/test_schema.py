"""The JSON Schema accepts and refuses what the parser does, where a schema can tell."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, target
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from cgtproxy.config.dns.keys import DEFAULT_EXCLUDE
from cgtproxy.config.faults import ConfigError
from cgtproxy.config.model import Config
from cgtproxy.config.parser import parse
from cgtproxy.config.schema import json_schema
from cgtproxy.config.source import BUILTIN
from config.documents import documents

VALIDATOR = Draft7Validator(json_schema())
# Relations between keys, RE2's syntax, and whether digits and colons make an address.
BEYOND_SCHEMAS = re.compile(
    "is the mark of|no TPROXY has|is not a valid regular|"
    "is not an (IPv. )?address|is not an upstream URL|is not the URL of a DNS|"
    "is not an IPv. network|is too small|overlaps|has brackets|different ports|"
    "has no upstream|is taken by|has the port of|is tproxies"
)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**33),
    st.sampled_from([0, 1, 253, 254, 255, 65535, 65536, 2**32 - 1, 2**32, 32765, 32766]),
    st.sampled_from(["", "AUTO", "/x", "x", "(", "1", "127.0.0.1", "::1", "true", "direct://"]),
    st.sampled_from(["system://", "[::1]:1053", "127.0.0.1:53", "10.0.0.0/8", "fc00::/7"]),
    st.builds(list),
    st.builds(dict),
    st.lists(st.integers(), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(["match", "port", "x"]), st.integers(), max_size=2),
)
KEYS = st.sampled_from(
    [
        "bypass",
        "drop",
        "direct",
        "tproxy",
        "match",
        "tcp",
        "ip6",
        "loopback",
        "no-udp",
        "upstream",
        "select",
        "dns",
        "listen",
        "pool",
        "exclude",
        "x",
        "",
        "\x07",
    ]
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) of a document."""
    keys = (
        list(node) if isinstance(node, dict) else range(len(node) if isinstance(node, list) else 0)
    )
    return [pair for key in keys for pair in [(node, key), *places(node[key])]]


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """A valid document with up to three changes: values replaced, keys taken away or added."""
    document = copy.deepcopy(draw(documents())[0])
    for _ in range(draw(st.integers(0, 3))):
        if not (found := places(document)):
            break
        container, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["replace", "delete", "add"]))
        if change == "replace":
            container[key] = draw(JUNK)
        elif change == "delete":
            del container[key]
        elif isinstance(container, dict):
            container[draw(KEYS)] = draw(JUNK)
        else:
            container.append(draw(JUNK))
    return document


@given(mutants())
def test_schema_and_parser_agree(document: dict[str, Any]) -> None:
    errors = [error.message for error in VALIDATOR.iter_errors(document)]
    target(len(errors))
    try:
        parse(yaml.safe_dump(document), "f")
    except ConfigError as error:
        unexpected = [str(f) for f in error.faults if not BEYOND_SCHEMAS.search(f.problem)]
        assert errors or not unexpected, unexpected
    else:
        assert errors == []


@given(documents())
def test_the_schema_accepts_valid_files(pair: tuple[dict[str, Any], Config]) -> None:
    VALIDATOR.validate(pair[0])


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(json_schema())
    VALIDATOR.validate(yaml.safe_load(BUILTIN))


@pytest.mark.parametrize("entry", ["FE80::/10", "::ffff:192.0.2.1", "10.0.0.0/255.0.0.0"])
def test_the_schema_accepts_addresses_however_they_are_written(entry: str) -> None:
    document = yaml.safe_load(BUILTIN) | {"bypass": [entry]}
    VALIDATOR.validate(document)
    parse(yaml.safe_dump(document), "f")


@pytest.mark.parametrize(
    ("path", "default"),
    [
        (("rule-priority",), 1000),
        (("tproxies", "no-udp"), False),
        (("tproxies", "dns-hijack", "ip"), "127.0.0.1"),
        (("tproxies", "dns-hijack", "port"), 53),
        (("tproxies", "dns-hijack", "tcp"), False),
        (("tproxies", "dns-hijack", "loopback"), True),
        (("tproxies", "dns", "listen"), ["127.0.0.1:1053", "[::1]:1053"]),
        (("tproxies", "dns", "exclude-upstream"), ["system://"]),
        (("tproxies", "dns", "exclude"), list(DEFAULT_EXCLUDE)),
        (("tproxies", "dns", "pool6"), "fc00::/18"),
    ],
)
def test_the_schema_tells_defaults(path: tuple[str, ...], default: Any) -> None:
    node: Any = json_schema()
    for name in path:
        properties = node.get("properties") or node["additionalProperties"]["properties"]
        node = properties[name]
    assert node["default"] == default
    assert node["description"].endswith(".")
