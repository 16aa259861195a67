"""Every fault: its position, its key, what is wrong, and what is allowed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from cgtproxy.config.faults import ConfigError
from cgtproxy.config.keys import FILE
from cgtproxy.config.parser import parse
from cgtproxy.errors import CgtproxyError

HEAD = "version: 1\ncgroup-root: AUTO\nroute-table: 300\n"
U32 = "must be a whole number from 1 to 4294967295"
PORT = "must be a whole number from 1 to 65535"
KNOWN = "can be " + ", ".join(FILE.keys)
TARGET = "must have exactly one of tproxy, direct, drop"
Faults = Callable[[str], list[str]]


def test_all_faults_at_once_sorted_by_position(faults: Faults) -> None:
    text = """\
rules:
  - match: (a
    tproxy: clsh
tproxies:
  clash: {port: 0, mark: 5}
  other: {port: 1, mark: 5, no-upd: true}
version: 2
cgroup-root: AUTO
"""
    keys = [fault.split(": ")[:2] for fault in faults(text)]
    assert keys == [
        ["f:1:1", "route-table"],
        ["f:2:12", "rules[0].match"],
        ["f:3:13", "rules[0].tproxy"],
        ["f:5:17", "tproxies.clash.port"],
        ["f:6:26", "tproxies.other.mark"],
        ["f:6:29", "tproxies.other.no-upd"],
        ["f:7:10", "version"],
    ]


def test_the_error_is_one_of_configuration() -> None:
    with pytest.raises(CgtproxyError) as caught:
        parse("", "f")
    assert isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "bypas: []",
            "f:4:1: bypas: unknown key, did you mean 'bypass'?; " + KNOWN,
        ),
        (
            "xyz: []",
            "f:4:1: xyz: unknown key; " + KNOWN,
        ),
        (
            "'<<': {}",
            "f:4:1: '<<': unknown key; " + KNOWN,
        ),
        ("bypass: ::1", "f:4:9: bypass: '::1' is text; must be a list of addresses and CIDRs"),
        ("bypass: {}", "f:4:1: bypass: a mapping is given; must be a list of addresses and CIDRs"),
        (
            "tproxies: []",
            "f:4:1: tproxies: a list is given; must be a mapping from names to TPROXYs",
        ),
        ("rules: 5", "f:4:8: rules: 5 is a number; must be a list of rules"),
        (
            "rules: !!set {a}",
            "f:4:1: rules: a value tagged 'tag:yaml.org,2002:set' is given; "
            "must be a list of rules",
        ),
        (
            "monitor: udev",
            "f:4:10: monitor: 'udev' is none of them; must be one of inotify, dbus, both",
        ),
        (
            "rule-priority: 32766",
            "f:4:16: rule-priority: 32766 is out of range; must be a whole number from 1 to 32765",
        ),
    ],
)
def test_top_level_keys(faults: Faults, line: str, wanted: str) -> None:
    assert faults(HEAD + line) == [wanted]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("version", "2", "2 is out of range; must be 1"),
        ("version", "'1'", "'1' is text; must be 1"),
        ("cgroup-root", "sys/fs", "'sys/fs' does not fit; must be AUTO or an absolute path"),
        ("cgroup-root", "auto", "'auto' does not fit; must be AUTO or an absolute path"),
        ("cgroup-root", r'"/a\n"', r"'/a\n' does not fit; must be AUTO or an absolute path"),
        ("cgroup-root", "[/]", "a list is given; must be AUTO or an absolute path"),
        ("route-table", "main", f"'main' is text; {U32}, but none of 253, 254, 255"),
        ("route-table", "0", f"0 is out of range; {U32}, but none of 253, 254, 255"),
        (
            "route-table",
            "253",
            f"253 is reserved (table default); {U32}, but none of 253, 254, 255",
        ),
        ("route-table", "254", f"254 is reserved (table main); {U32}, but none of 253, 254, 255"),
        (
            "route-table",
            "0xff",
            f"0xff is reserved (table local); {U32}, but none of 253, 254, 255",
        ),
        (
            "route-table",
            "4294967296",
            f"4294967296 is out of range; {U32}, but none of 253, 254, 255",
        ),
        ("route-table", "", f"nothing is given; {U32}, but none of 253, 254, 255"),
    ],
)
def test_required_keys(faults: Faults, key: str, value: str, wanted: str) -> None:
    good = {"version": "1", "cgroup-root": "AUTO", "route-table": "300"}
    text = "".join(f"{name}: {written}\n" for name, written in (good | {key: value}).items())
    (fault,) = faults(text)
    assert fault.split(": ", 2)[1:] == [key, wanted]


@pytest.mark.parametrize("key", ["version", "cgroup-root", "route-table"])
def test_a_required_key_is_missing(faults: Faults, key: str) -> None:
    lines = [line for line in HEAD.splitlines() if not line.startswith(key)]
    (fault,) = faults("\n".join(lines))
    assert fault.startswith(f"f:1:1: {key}: is missing; must be ")


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("mark: 1", ["f:5:3: tproxies.t.port: is missing; " + PORT]),
        ("port: 1", ["f:5:3: tproxies.t.mark: is missing; " + U32]),
        ("port: 1, mark: 0", ["f:5:22: tproxies.t.mark: 0 is out of range; " + U32]),
        ("port: 1, mark: -1", ["f:5:22: tproxies.t.mark: -1 is out of range; " + U32]),
        (
            "port: 1, mark: 0x100000000",
            ["f:5:22: tproxies.t.mark: 0x100000000 is out of range; " + U32],
        ),
        ("port: 0, mark: 1", ["f:5:13: tproxies.t.port: 0 is out of range; " + PORT]),
        ("port: 65536, mark: 1", ["f:5:13: tproxies.t.port: 65536 is out of range; " + PORT]),
        ("port: '80', mark: 1", ["f:5:13: tproxies.t.port: '80' is text; " + PORT]),
        (
            "port: !!int 'a\n\n  b', mark: 1",
            ["f:5:13: tproxies.t.port: 'a\\nb' is not a whole number; " + PORT],
        ),
        ("port: 80.5, mark: 1", ["f:5:13: tproxies.t.port: 80.5 is not a whole number; " + PORT]),
        ("port: 1:30, mark: 1", ["f:5:13: tproxies.t.port: 1:30 is not a whole number; " + PORT]),
        ("port: true, mark: 1", ["f:5:13: tproxies.t.port: true is a boolean; " + PORT]),
        ("port: 2026-11-22, mark: 1", ["f:5:13: tproxies.t.port: 2026-11-22 is a date; " + PORT]),
        (
            "port: 1, mark: 1, no-udp: 1",
            ["f:5:33: tproxies.t.no-udp: 1 is a number; must be true or false"],
        ),
        (
            "port: 1, mark: 1, no-ipv6: 'no'",
            ["f:5:34: tproxies.t.no-ipv6: 'no' is text; must be true or false"],
        ),
        (
            "port: 1, mark: 1, no-ipv6: !!bool maybe",
            ["f:5:34: tproxies.t.no-ipv6: maybe is not a boolean; must be true or false"],
        ),
        (
            "port: 1, mark: 1, no-upd: true",
            [
                "f:5:25: tproxies.t.no-upd: unknown key, did you mean 'no-udp'?; "
                "can be port, mark, no-udp, no-ipv6, dns-hijack, "
                "upstream, select, on-down, udp, health-check, dns"
            ],
        ),
    ],
)
def test_tproxy_keys(faults: Faults, keys: str, wanted: list[str]) -> None:
    assert faults(f"{HEAD}tproxies:\n  t: {{{keys}}}") == wanted


@pytest.mark.parametrize(
    ("hijack", "wanted"),
    [
        (
            "true",
            "dns-hijack: true is a boolean; must be a mapping with ip, ip6, port, tcp, loopback",
        ),
        ("{ip: '::1'}", "dns-hijack.ip: '::1' is not an IPv4 address; must be an IPv4 address"),
        (
            "{ip: localhost}",
            "dns-hijack.ip: 'localhost' is not an IPv4 address; must be an IPv4 address",
        ),
        ("{ip: 5}", "dns-hijack.ip: 5 is a number; must be an IPv4 address"),
        (
            "{ip6: 127.0.0.1}",
            "dns-hijack.ip6: '127.0.0.1' is not an IPv6 address; must be an IPv6 address",
        ),
        (
            "{ip6: 'fe80::1%lo'}",
            "dns-hijack.ip6: 'fe80::1%lo' is not an IPv6 address; must be an IPv6 address",
        ),
        ("{port: 0}", "dns-hijack.port: 0 is out of range; " + PORT),
        ("{tcp: 5}", "dns-hijack.tcp: 5 is a number; must be true or false"),
        ("{loopback: x}", "dns-hijack.loopback: 'x' is text; must be true or false"),
        (
            "{ipv6: x}",
            "dns-hijack.ipv6: unknown key, did you mean 'ip6'?; "
            "can be ip, ip6, port, tcp, loopback",
        ),
    ],
)
def test_dns_hijack_keys(faults: Faults, hijack: str, wanted: str) -> None:
    (fault,) = faults(f"{HEAD}tproxies: {{clash: {{port: 1, mark: 1, dns-hijack: {hijack}}}}}")
    assert fault.partition(": tproxies.clash.")[2] == wanted


@pytest.mark.parametrize("name", ["''", '"a\\nb"', "x" * 101, '"\\x7f"'])
def test_names(faults: Faults, name: str) -> None:
    (fault,) = faults(f"{HEAD}tproxies:\n  ? {name}\n  : {{port: 1, mark: 1}}")
    assert fault.startswith("f:5:5: tproxies.")
    wanted = (
        ": the name does not fit; must be 1 to 100 characters, none of them a control character"
    )
    assert fault.endswith(wanted)


def test_a_tproxy_of_nothing(faults: Faults) -> None:
    assert faults(f"{HEAD}tproxies:\n  t:") == [
        "f:5:3: tproxies.t: nothing is given; must be a mapping with port, mark"
    ]


def test_one_mark_for_two_tproxies(faults: Faults) -> None:
    text = f"{HEAD}tproxies:\n  a: {{port: 1, mark: 16}}\n  b c:\n    port: 1\n    mark: 0x10\n"
    assert faults(text) == [
        "f:8:11: tproxies.'b c'.mark: 16 is the mark of tproxies.a on line 5 too; "
        "must be different for each TPROXY"
    ]


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


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/33", "10.0.0", "10.0.0.0/", "'::1/129'", "'fe80::1%lo'", "localhost", "a/8"]
)
def test_bypass_entries(faults: Faults, entry: str) -> None:
    assert faults(f"{HEAD}bypass:\n  - 127.0.0.1\n  - {entry}\n") == [
        f"f:6:5: bypass[1]: '{entry.strip(chr(39))}' is not an address or CIDR; "
        "must be an IPv4 or IPv6 address or CIDR, without a scope"
    ]


def test_bypass_entry_that_yaml_takes_for_a_mapping(faults: Faults) -> None:
    (fault,) = faults(f"{HEAD}bypass:\n  - fe80::\n")
    assert fault.startswith("f:5:5: bypass[0]: a mapping is given; must be ")


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


def test_long_values_are_shortened(faults: Faults) -> None:
    (fault,) = faults(f"{HEAD}bypass: [{'x' * 5000}]\n")
    assert f"'{'x' * 57}...' is not an address" in fault
    (fault,) = faults(f"{HEAD}rule-priority: {'9' * 5000}\n")
    assert f"{'9' * 57}... is out of range" in fault
