"""Texts that are no YAML, or YAML that a configuration has no use for."""

from __future__ import annotations

import pytest
import yaml

from cgtproxy.config.parser import parse
from config.texts import HEAD, Faults


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML may have been built without libyaml."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader")
    else:
        assert yaml.__with_libyaml__


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n...\n"])
def test_an_empty_file(faults: Faults, text: str) -> None:
    (fault,) = faults(text)
    wanted = "must be a mapping with version, cgroup-root, route-table"
    assert fault in (
        f"f:1:1: the file is empty; {wanted}",
        f"f:1:1: nothing is given; {wanted}",
    )


@pytest.mark.parametrize(("text", "what"), [("- 1", "a list is given"), ("x", "'x' is text")])
def test_a_document_that_is_no_mapping(faults: Faults, text: str, what: str) -> None:
    wanted = "must be a mapping with version, cgroup-root, route-table"
    assert faults(text) == [f"f:1:1: {what}; {wanted}"]


@pytest.mark.parametrize(
    ("text", "starts", "has"),
    [
        ("a: [1\n", "f:2:1: not valid YAML: ", "while parsing a flow sequence begun on line 1"),
        ("a: 'x\n\n", "f:3:1: not valid YAML: ", "while scanning a quoted scalar begun on line 1"),
        ("a: b: c", "f:1:5: not valid YAML: mapping values are not allowed", ""),
        ("a: *x", "f:1:4: not valid YAML: found undefined alias", ""),
        ("a: @x", "f:1:4: not valid YAML: found character", "put quotes around a value"),
        ("a: 1\n\tb: 2", "f:2:1: not valid YAML: ", "indent with spaces, not tabs"),
        ("a: &a\nb: &a", "f:2:4: not valid YAML: found duplicate anchor", "second occurrence"),
        (r'a: "\."', "f:1:", "write patterns in single quotes or as a |- block"),
        ("a: 1\n--- b", "f:2:1: not valid YAML: expected a single document", "but found another"),
    ],
)
def test_syntax_errors(faults: Faults, text: str, starts: str, has: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(starts)
    assert has in fault


@pytest.mark.parametrize("escape", [r'"\U00110000"', r'"\ud800"', r'"\x0"'])
def test_escapes_of_no_character(faults: Faults, escape: str) -> None:
    (fault,) = faults(f"{HEAD}rules: [{{match: {escape}, drop: true}}]")
    assert "not valid YAML: " in fault or "holds half a character" in fault


def test_duplicate_keys(faults: Faults) -> None:
    text = f"{HEAD}rules: []\ntproxies:\n  a: {{port: 1, mark: 1, port: 2}}\n  'a':\nrules:\n"
    assert faults(text) == [
        "f:6:25: tproxies.a.port: given twice, first on line 6; must be given once",
        "f:7:3: tproxies.a: given twice, first on line 6; must be given once",
        "f:8:1: rules: given twice, first on line 4; must be given once",
    ]


@pytest.mark.parametrize("key", ["[a]", "{a: b}", "~", "? "])
def test_keys_that_are_no_text(faults: Faults, key: str) -> None:
    (fault,) = faults(f"{HEAD}? {key}\n: 1\n")
    assert fault.startswith("f:4:")
    assert fault.endswith(" is given as a key; keys must be text")


@pytest.mark.parametrize("value", ["5", "[5]", "[{}, [{}]]"])
def test_merges_of_what_is_no_mapping(faults: Faults, value: str) -> None:
    (fault,) = faults(f"{HEAD}<<: {value}\n")
    assert fault.startswith("f:4:1: '<<': ")
    assert fault.endswith("; must be a mapping, or a list of mappings")


def test_faults_in_what_is_merged_stand_where_it_is_written(faults: Faults) -> None:
    text = f"{HEAD}tproxies:\n  a: &a {{port: 0, mark: 1}}\n  b: {{<<: *a, mark: 2}}\n"
    assert [fault.split(": ")[:2] for fault in faults(text)] == [
        ["f:5:16", "tproxies.a.port"],
        ["f:5:16", "tproxies.b.port"],
    ]


@pytest.mark.parametrize("bad", ["\0", "\x07", "\x1b", "\x7f", "\x9f", "\ufffe", "\ud800"])
def test_control_characters(faults: Faults, bad: str) -> None:
    assert faults(f"{HEAD}# ü{bad}{bad}\n{bad}") == [
        f"f:4:4: control character U+{ord(bad):04X}; remove it, or write it as an escape"
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[" * 33, "f:1:33: nested more than 32 levels deep"),
        ("[" * 1_000_000, "f:1:33: nested more than 32 levels deep"),
        ("[" * 33 + "@", "f:1:33: nested more than 32 levels deep"),
        ("- " * 100_000, "f:1:65: nested more than 32 levels deep"),
        ("{a: " * 100_000, "f:1:129: nested more than 32 levels deep"),
        ("a: &a [*a]", "f:1:8: *a stands inside the value it stands for"),
        ("a: &a\n  <<: *a", "f:2:7: *a stands inside the value it stands for"),
        ("#" * (1 << 20) + "\n", "f: the file is too long; must be at most 1048576 characters"),
    ],
)
def test_documents_out_of_bounds(faults: Faults, text: str, wanted: str) -> None:
    assert faults(text) == [wanted]


@pytest.mark.parametrize(
    "line",
    [
        "a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]",
        "a{0}: &a{0} {{<<: [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]}}",
    ],
)
def test_a_billion_laughs(faults: Faults, line: str) -> None:
    lines = ["a0: &a0 {}", *(line.format(n, n - 1) for n in range(1, 30))]
    (fault,) = faults("\n".join(lines))
    assert "aliases repeat more than 100000 values" in fault


def test_a_long_chain_of_merges_within_bounds(faults: Faults) -> None:
    chain = "".join(f"k{n}: &k{n} {{<<: *k{n - 1}, x{n}: 1}}\n" for n in range(1, 200))
    assert len(faults(f"{HEAD}k0: &k0 {{}}\n{chain}")) == 200  # all are unknown keys
    merged = f"{HEAD}tproxies:\n  k0: &k0 {{port: 1, mark: 1}}\n" + "".join(
        f"  k{n}: &k{n} {{<<: *k{n - 1}, mark: {n + 1}}}\n" for n in range(1, 200)
    )
    assert parse(merged, "f").config.tproxies[-1].port == 1


def test_very_many_faults_are_all_told(faults: Faults) -> None:
    told = faults(HEAD + "".join(f"rulez{n}: 1\n" for n in range(5000)))
    assert len(told) == 5000
    suggestions = ["did you mean 'rules'?" in fault for fault in told]
    assert suggestions == [True] * 101 + [False] * 4899  # a suggestion takes time
