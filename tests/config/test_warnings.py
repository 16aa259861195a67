"""What is allowed but hardly meant."""

from __future__ import annotations

import pytest

from config.texts import HEAD, LOOPBACK, Faults

MOVE = "move it before that rule, or remove it"


def rules(*patterns: str) -> str:
    lines = [f"  - match: '{pattern}'\n    drop: true\n" for pattern in patterns]
    return HEAD + LOOPBACK + "rules:\n" + "".join(lines)


@pytest.mark.parametrize(
    "pattern",
    ["", ".*", "^", "/", r"\/.*", "^/.*", r"^\/", ".", ".+", "(.*)", "a|", "^.*$", "/.*$", "(?i)/",
     r"\A/", "[^a]", "a*", "/?", "(?m)^", r"/(\b|\B)", "^(|/.*)", r"(?s)\/.*", "/|b"],
)  # fmt: skip
def test_nothing_decides_after_a_catch_all(warnings: Faults, pattern: str) -> None:
    wrong = "never decides: rules[1].match on line 8 matches every cgroup"
    assert warnings(rules("a", pattern, "b", "a")) == [
        f"f:10:12: rules[2].match: {wrong}; {MOVE}",
        f"f:12:12: rules[3].match: {wrong}; {MOVE}",
    ]


@pytest.mark.parametrize(
    "pattern",
    ["^/.+", "^/$", "/$", "$a", "^/a", "a", r"/\b", r"/\B", "^[^@]*@", "[^/]", "^/([^f]|f[^o]|$)",
     "^/[^@]*$", "(?m)/$", r"^/(\n|$|[a-z])", r"\.*$", r"\Q.*$", "..", "^a*/.", r"\bx|/\b|/$",
     r"(?m)/(\b|$)", r"/\B|/$"],
)  # fmt: skip
def test_a_rule_that_leaves_some_cgroups_is_no_catch_all(warnings: Faults, pattern: str) -> None:
    assert warnings(rules(pattern, "b")) == []


def test_a_catch_all_at_the_end_is_fine(warnings: Faults) -> None:
    assert warnings(rules("a", "b", ".*")) == []


def test_the_same_pattern_twice(warnings: Faults) -> None:
    wrong = "never decides: rules[0].match on line 6 is the same pattern"
    assert warnings(rules("a", "b", "a", "a")) == [
        f"f:10:12: rules[2].match: {wrong}; {MOVE}",
        f"f:12:12: rules[3].match: {wrong}; {MOVE}",
    ]


def test_a_pattern_with_a_line_break(warnings: Faults) -> None:
    rules = "- match: |\n    a\n  drop: true\n- match: |-\n    b\n  drop: true\n"
    assert warnings(f"{HEAD}{LOOPBACK}rules:\n{rules}") == [
        "f:6:10: rules[0].match: ends in a line break; write a |- block, not a | block"
    ]


def test_a_tproxy_that_no_rule_uses(warnings: Faults) -> None:
    text = f"{HEAD}{LOOPBACK}tproxies:\n  a: {{port: 1, mark: 1}}\n  b: {{port: 1, mark: 2}}\n"
    assert warnings(text + "rules: [{match: x, tproxy: b}]") == [
        "f:6:3: tproxies.a: no rule uses this TPROXY; remove it, or add a rule"
    ]


@pytest.mark.parametrize(
    ("bypass", "missing"),
    [
        ("", "f:1:1: bypass: loopback is not covered (127.0.0.0/8 and ::1/128)"),
        ("bypass: []", "f:4:1: bypass: loopback is not covered (127.0.0.0/8 and ::1/128)"),
        ('bypass: [127.0.0.1, "::1"]', "f:4:1: bypass: loopback is not covered (127.0.0.0/8)"),
        ("bypass: [126.0.0.0/7]", "f:4:1: bypass: loopback is not covered (::1/128)"),
        ('bypass: [127.0.0.0/9, 127.128.0.0/9, "::/0"]', ""),
        (LOOPBACK, ""),
    ],
)
def test_bypass_without_loopback(warnings: Faults, bypass: str, missing: str) -> None:
    hint = "; add it, or what the computer's own services tell each other is redirected too"
    assert warnings(HEAD + bypass) == ([missing + hint] if missing else [])


def test_a_hijack_of_what_goes_direct(warnings: Faults) -> None:
    text = f"""\
{HEAD}{LOOPBACK}tproxies:
  udp:
    {{port: 1, mark: 1, no-udp: true, dns-hijack: {{}}}}
  both: {{port: 1, mark: 2, no-udp: true, dns-hijack: {{tcp: true}}}}
  ip6: {{port: 1, mark: 3, no-ipv6: true, dns-hijack: {{ip6: "::1"}}}}
  fine: {{port: 1, mark: 4, dns-hijack: {{}}}}
  none: {{port: 1, mark: 5, no-udp: true, no-ipv6: true}}
rules:
""" + "".join(f"- {{match: {n}, tproxy: {n}}}\n" for n in ("udp", "both", "ip6", "fine", "none"))
    assert warnings(text) == [
        "f:7:38: tproxies.udp.dns-hijack: never takes effect: no-udp sends UDP direct, and the "
        "hijack is for UDP alone; set tcp: true, or remove no-udp or the hijack",
        "f:9:60: tproxies.ip6.dns-hijack.ip6: never takes effect: no-ipv6 sends IPv6 direct; "
        "remove ip6 or no-ipv6",
    ]
