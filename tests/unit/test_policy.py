"""The first rule that matches decides, however many there are and whatever the path's bytes."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy import policy
from cgtproxy.config.model import DIRECT, DROP, Decision, Rule
from cgtproxy.policy import Policy

PROXY = Decision("tproxy", "a")
PIECES = ["a", "b", "/", ".", ".*", "[ab]", "(a|b)", "^", "$", "a+"]
PIECES += [r"\.service", r"\d", "(?i)A", "é"]
PATTERNS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
RULES = st.lists(st.builds(Rule, PATTERNS, st.sampled_from([DIRECT, DROP, PROXY])), max_size=8)
NAMES = st.lists(
    st.sampled_from([b"a", b"b", b"A", b".service", b"7", "é".encode(), b"\xff", b" "]), min_size=1
).map(b"".join)
PATHS = st.lists(NAMES, max_size=4).map(lambda names: b"/" + b"/".join(names))


def naive(rules: list[Rule], path: bytes) -> int | None:
    text = path.decode("utf-8", "replace")
    return next((i for i, rule in enumerate(rules) if re2.search(rule.match, text)), None)


@given(RULES, PATHS)
def test_the_first_match_wins(rules: list[Rule], path: bytes) -> None:
    assert Policy(rules).match(path) == naive(rules, path)


@given(RULES, PATHS, st.sampled_from([DIRECT, DROP, PROXY]))
def test_what_no_rule_matches_follows_its_parent(
    rules: list[Rule], path: bytes, inherited: Decision
) -> None:
    index, target = Policy(rules).decide(path, inherited)
    assert index == naive(rules, path)
    assert target == (inherited if index is None else rules[index].decision)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        (r"^/user\.slice/.*\.scope$", b"/user.slice/a/b.scope", True),
        (r"^/user\.slice/.*\.scope$", b"/user.slice/a/b.scope/c", False),
        ("slice", b"/user.slice", True),  # searched, not anchored
        ("", b"/", True),
        ("^/$", b"/", True),
        ("^/$", b"/a", False),
        (r"a\\x2db", rb"/a\x2db", True),
        ("^/.$", "/é".encode(), True),
        ("^/.$", b"/\xff", True),
        ("^/..$", b"/\xff\xfe", True),
        ("^/.*x$", b"/\xc3x", True),
        ("\N{REPLACEMENT CHARACTER}", b"/\x80", True),
        (r"\xff", b"/\xff", False),  # the letter ÿ, not the byte
    ],
)
def test_how_a_path_is_matched(pattern: str, path: bytes, matches: bool) -> None:
    assert (Policy([Rule(pattern, DROP)]).match(path) == 0) is matches


def test_no_rules() -> None:
    assert Policy([]).decide(b"/a", DROP) == (None, DROP)


def test_a_thousand_rules() -> None:
    rules = [Rule(rf"^/app-{number}\.slice/.*x", DROP) for number in range(1000)]
    compiled = Policy([*rules, Rule("^/app-", DIRECT)])
    for number in (0, 1, 499, 999):
        assert compiled.match(b"/app-%d.slice/yyx" % number) == number
        assert compiled.match(b"/app-%d.slice/yy" % number) == 1000
    assert compiled.match(b"/other") is None


# Small to compile and large to run: one state of the automaton holds all that match.
MANY = [Rule("^/c", DROP), Rule("b$", DROP), Rule("é", DROP)] + [Rule("", DIRECT)] * 300
PATHS_OF_MANY = {b"/c": 0, b"/cb": 0, b"/ab": 1, "/é".encode(): 2, b"/": 3, b"/\xff": 3}


def fits(limit: int) -> bool:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = limit
    automaton = re2.Set.SearchSet(options)
    for rule in [*MANY, Rule("", DROP)]:
        automaton.Add(rule.match)
    try:
        automaton.Compile()
    except re2.error:
        return False
    return True


def smallest_that_compiles() -> int:
    low, high = 0, 1 << 24
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def test_where_the_automaton_cannot_be_run_rules_are_tried_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy, "MAX_AUTOMATON_BYTES", smallest_that_compiles())
    compiled = Policy(MANY)
    assert compiled._set.Match(b"/c") is None, "the limit is not low enough for this test"
    assert {path: compiled.match(path) for path in PATHS_OF_MANY} == PATHS_OF_MANY


def test_where_the_automaton_cannot_be_made_rules_are_tried_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy, "MAX_AUTOMATON_BYTES", smallest_that_compiles() - 1)
    compiled = Policy(MANY)
    assert {path: compiled.match(path) for path in PATHS_OF_MANY} == PATHS_OF_MANY
