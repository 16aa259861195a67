"""What the documents and the example say is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cgtproxy.config.keys import FILE
from cgtproxy.config.parser import parse
from cgtproxy.config.section import Key, Table
from config.texts import HEAD, LOOPBACK, Faults

ROOT = Path(__file__).parents[2]
EXAMPLE = files("cgtproxy.config").joinpath("example.yaml").read_text()
GUIDE = (ROOT / "docs/configuration.md").read_text()
MANUAL = (ROOT / "man/cgtproxy.yaml.5").read_text()


def keys(table: Table[Any]) -> Iterator[tuple[str, Key[Any]]]:
    for name, key in table.keys.items():
        yield name, key
        inner = getattr(key.type, "of", key.type)
        if isinstance(inner, Table):
            yield from keys(inner)


KEYS = list(keys(FILE))


def test_the_keys_are_all_found() -> None:
    assert {"version", "rules", "match", "tproxy", "mark", "dns-hijack", "ip6"} <= dict(KEYS).keys()


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_every_key_is_in_the_guide_and_in_the_manual(name: str, key: Key[Any]) -> None:
    rows = re.findall(rf"^\| `{name}` \| (?:.*?) \| (.*?) \| ", GUIDE, re.MULTILINE)
    item = re.findall(rf"^\.It Cm {name} : (?:.|\n)*?(?=^\.(?:It|El))", MANUAL, re.MULTILINE)
    assert rows
    assert item
    if key.required:
        assert "required" in rows or name == "port"
        assert any("Required." in text for text in item)
    elif isinstance(key.default, tuple):
        assert all(f"`{one}`" in GUIDE for one in key.default)
        assert any(all(str(one) in text for one in key.default) for text in item)
    elif key.default is not None:
        default = str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
        assert f"`{default}`" in rows
        if name not in ("direct", "drop"):
            assert any(re.search(rf"Default:\s(\.Cm )?{default}\b", text) for text in item)


def test_the_example_is_free_of_warnings() -> None:
    parsed = parse(EXAMPLE, "example")
    assert parsed.warnings == ()
    assert {rule.decision.kind for rule in parsed.config.rules} == {"direct", "drop", "tproxy"}


def test_the_rule_that_the_example_comments_out_is_right() -> None:
    before, marker, rule = EXAMPLE.partition("  # - match:")
    text = before + (marker + rule).replace("  # ", "  ")
    assert parse(text, "example").warnings == ()
    assert len(parse(text, "e").config.rules) == len(parse(EXAMPLE, "e").config.rules) + 1


def test_the_built_in_server_that_the_example_comments_out_needs_two_keys() -> None:
    block = re.findall(r"^  # work:\n(?:  #   .*\n)+", EXAMPLE, re.MULTILINE)[0]
    text = EXAMPLE.replace(block, block.replace("  # ", "  "))
    served = [tproxy for tproxy in parse(text, "example").config.tproxies if tproxy.server]
    assert [tproxy.name for tproxy in served] == ["work"]
    assert parse(text, "example").config.pools


def test_the_example_names_its_schema_first() -> None:
    modeline = EXAMPLE.splitlines()[0]
    assert re.fullmatch(r"# yaml-language-server: \$schema=/\S+\.json", modeline)
    assert modeline in GUIDE
    assert modeline in MANUAL


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.M | re.S))
def test_the_blocks_of_the_guide_are_valid(block: str) -> None:
    parsed = parse(block if block.startswith("version") else HEAD + LOOPBACK + block, "guide")
    assert parsed.warnings == ()


def test_the_faults_that_the_guide_shows_are_real(faults: Faults) -> None:
    lines = re.findall(r"^/etc/cgtproxy/config.yaml:.*?: (.*)$", GUIDE, re.MULTILINE)
    text = HEAD + LOOPBACK + "tproxies:\n  mihomo: {port: 1, mark: 1, no-upd: true}\n"
    shown = faults(text + "rules:\n  - {match: a, tproxy: mihom}\n")
    assert lines == [fault.split(": ", 1)[1] for fault in shown]


EXAMPLES = re.findall(r"^\.Bd.*?\n(.*?)^\.Ed", MANUAL, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_manual_are_valid(text: str) -> None:
    assert parse(text.replace("\\e", "\\"), "manual").warnings == ()
