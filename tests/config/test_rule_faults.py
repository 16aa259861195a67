"""Every fault of a rule, its pattern included."""

from __future__ import annotations

import subprocess
import sys

import pytest

from config.texts import HEAD, Faults

TARGET = "must have exactly one of tproxy, direct, drop"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("match: a", [f"f:6:5: rules[0]: names no target; {TARGET}"]),
        ("{match: a, direct: false, drop: }", [f"f:6:5: rules[0]: names no target; {TARGET}"]),
        (
            "{match: a, direct: true, drop: true}",
            [f"f:6:5: rules[0]: direct and drop exclude each other; {TARGET}"],
        ),
        (
            "{match: a, tproxy: clash, drop: true}",
            [f"f:6:5: rules[0]: tproxy and drop exclude each other; {TARGET}"],
        ),
        (
            "{match: a, tproxy: clahs}",
            [
                "f:6:24: rules[0].tproxy: no TPROXY has the name 'clahs', did you mean 'clash'?; "
                "must be one of tproxies ('clash')"
            ],
        ),
        ("{match: a, drop: 1}", ["f:6:22: rules[0].drop: 1 is a number; must be true or false"]),
        (
            "direct: true",
            ["f:6:5: rules[0].match: is missing; must be a regular expression in RE2 syntax"],
        ),
        (
            "{match: , direct: true}",
            ["f:6:6: rules[0].match: nothing is given; must be a regular expression in RE2 syntax"],
        ),
        (
            "{match: [a], direct: true}",
            ["f:6:6: rules[0].match: a list is given; must be a regular expression in RE2 syntax"],
        ),
        ("x", ["f:6:5: rules[0]: 'x' is text; must be a mapping with match"]),
        ("", ["f:6:4: rules[0]: nothing is given; must be a mapping with match"]),
        (
            "{match: a, direkt: true}",
            [
                f"f:6:5: rules[0]: names no target; {TARGET}",
                "f:6:16: rules[0].direkt: unknown key, did you mean 'direct'?; "
                "can be match, tproxy, direct, drop",
            ],
        ),
    ],
)
def test_rule_keys(faults: Faults, rule: str, wanted: list[str]) -> None:
    text = f"{HEAD}tproxies: {{clash: {{port: 1, mark: 1}}}}\nrules:\n  - {rule}\n"
    assert faults(text) == wanted


def test_a_rule_names_a_tproxy_where_there_is_none(faults: Faults) -> None:
    assert faults(f"{HEAD}rules: [{{match: a, tproxy: b}}]") == [
        "f:4:28: rules[0].tproxy: no TPROXY has the name 'b'; "
        "must be one of tproxies (none is given)"
    ]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "missing ): (a"),
        ("a**", "bad repetition operator: **"),
        ("[z-a]", "invalid character class range: z-a"),
        ("(?=a)", "invalid perl operator: (?="),
        (r"\1", r"invalid escape sequence: \1"),
    ],
)
def test_patterns(
    faults: Faults, capfd: pytest.CaptureFixture[str], pattern: str, reason: str
) -> None:
    assert faults(f"{HEAD}rules:\n- match: '{pattern}'\n  drop: true") == [
        f"f:5:10: rules[0].match: {pattern!r} is not a valid regular expression ({reason}); "
        "must be a regular expression in RE2 syntax"
    ]
    assert capfd.readouterr() == ("", "")


def test_patterns_need_no_memory_for_their_groups() -> None:
    code = f"""
import resource
from cgtproxy.config.parser import parse
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
rule = "  - {{drop: true, match: '" + "(" * 50_000 + ")" * 50_000 + "'}}"
print(len(parse({HEAD!r} + "rules:\\n" + rule, "f").config.rules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("1\n", "")
