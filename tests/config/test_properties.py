"""What holds for any text and for any valid configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.faults import ConfigError
from cgtproxy.config.model import Config
from cgtproxy.config.parser import parse
from cgtproxy.config.source import BUILTIN
from config.documents import documents

PIECES = [
    "version", "cgroup-root", "route-table", "bypass", "tproxies", "rules", "match", "tproxy",
    "direct", "port", "mark", "dns-hijack", ": ", ":", "\n", "\n  ", "\n- ", "- ", "1", "300",
    "AUTO", "true", "null", "~", "[", "]", "{", "}", ", ", "&a ", "*a", "<<", "'", '"', "|-\n",
    "!!int ", "!x", "---\n", "#", "\t", "\\", "? ", "%", "@", "127.0.0.1", "::1", "é", "\x85",
    "\u2028", "0x", "_", "0:1",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES)).map("".join),
    st.lists(st.sampled_from(PIECES)).map(lambda pieces: BUILTIN + "".join(pieces)),
)


def check_faults(text: str) -> None:
    try:
        parse(text, "f")
    except ConfigError as error:
        assert error.faults
        assert list(error.faults) == sorted(error.faults, key=lambda f: (f.line, f.column))
        for fault in error.faults:
            assert len(str(fault).splitlines()) == 1
            assert fault.column >= 1
            assert 1 <= fault.line <= len(text.splitlines()) + 1


@given(TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    check_faults(text)


@given(TEXTS)
def test_any_text_is_read_or_refused_without_libyaml(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader")
        check_faults(text)


@given(documents(), st.sampled_from([None, True, False]), st.booleans())
def test_valid_files_mean_what_they_say(
    pair: tuple[dict[str, Any], Config], flow: bool | None, unicode: bool
) -> None:
    document, wanted = pair
    text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=unicode, sort_keys=False)
    config = parse(text, "f").config
    lines = [rule.line for rule in config.rules]
    assert lines == sorted(lines)
    assert config._replace(rules=tuple(rule._replace(line=0) for rule in config.rules)) == wanted
