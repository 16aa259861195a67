"""Every fault: its position, its key, what is wrong, and what is allowed."""

from __future__ import annotations

import pytest

from cgtproxy.config.faults import ConfigError
from cgtproxy.config.keys import FILE
from cgtproxy.config.parser import parse
from cgtproxy.errors import CgtproxyError
from config.texts import HEAD, U32, Faults

KNOWN = "can be " + ", ".join(FILE.keys)


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


def test_long_values_are_shortened(faults: Faults) -> None:
    (fault,) = faults(f"{HEAD}bypass: [{'x' * 5000}]\n")
    assert f"'{'x' * 57}...' is not an address" in fault
    (fault,) = faults(f"{HEAD}rule-priority: {'9' * 5000}\n")
    assert f"{'9' * 57}... is out of range" in fault
