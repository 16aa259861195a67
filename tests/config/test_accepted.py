"""What a valid file means, the forerunner's ways of writing included."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from cgtproxy.config.model import DIRECT, DROP, Config, Decision, DnsHijack, Rule, Tproxy
from cgtproxy.config.parser import parse
from cgtproxy.config.source import BUILTIN
from config.texts import HEAD


def config(text: str) -> Config:
    return parse(text, "f").config


def test_every_key() -> None:
    text = """\
version: 1
cgroup-root: /sys/fs/cgroup/
route-table: 0x12c
rule-priority: 2_000
bypass: [127.0.0.0/8, 10.0.0.1/8, 192.0.2.7, "::1", "fe80::1/10"]
tproxies:
  clash:
    port: 7893
    mark: 0x520
    no-udp: true
    no-ipv6: yes
    dns-hijack:
      ip: 127.0.0.53
      ip6: "::1"
      port: 5353
      tcp: true
      loopback: false
  second: {port: 1, mark: 4294967295, dns-hijack: {}}
rules:
  - match: |-
      \\/user\\.slice\\/app-.*\\.scope
    tproxy: clash
  - match: '^/system\\.slice/'
    direct: true
  - match: ""
    drop: true
"""
    hijack = DnsHijack(IPv4Address("127.0.0.53"), IPv6Address("::1"), 5353, True, False)
    default = DnsHijack(IPv4Address("127.0.0.1"), None, 53, False, True)
    assert config(text) == Config(
        cgroup_root="/sys/fs/cgroup",
        route_table=300,
        rule_priority=2000,
        bypass=(
            ip_network("127.0.0.0/8"),
            ip_network("10.0.0.0/8"),
            ip_network("192.0.2.7/32"),
            ip_network("::1/128"),
            ip_network("fe80::/10"),
        ),
        tproxies=(
            Tproxy("clash", 7893, 0x520, no_udp=True, no_ipv6=True, dns_hijack=hijack),
            Tproxy("second", 1, 4294967295, dns_hijack=default),
        ),
        rules=(
            Rule(r"\/user\.slice\/app-.*\.scope", Decision("tproxy", "clash"), 20),
            Rule(r"^/system\.slice/", DIRECT, 23),
            Rule("", DROP, 25),
        ),
    )


@pytest.mark.parametrize("empty", ["", "bypass:\ntproxies:\nrules:\nrule-priority: null\n"])
def test_what_may_be_left_out_may_be_null(empty: str) -> None:
    assert config(HEAD + empty) == Config(cgroup_root=None, route_table=300, rule_priority=1000)


def test_builtin_sends_everything_direct() -> None:
    parsed = parse(BUILTIN, "built-in")
    assert parsed.warnings == ()
    assert (parsed.config.rules, parsed.config.tproxies) == ((), ())


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("{match: a, direct: true, drop: false, tproxy: }", DIRECT),
        ("{match: a, direct: no, drop: on, tproxy: ''}", DROP),
        ("{match: a, direct: ~, tproxy: c}", Decision("tproxy", "c")),
    ],
)
def test_only_a_true_target_counts(target: str, wanted: Decision) -> None:
    text = f"{HEAD}tproxies: {{c: {{port: 1, mark: 1}}}}\nrules: [{target}]\n"
    assert config(text).rules[0].decision == wanted


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("4000", 4000),
        ("+4_000", 4000),
        ("0xFA0", 4000),
        ("07640", 4000),
        ("0b1010", 10),
        ("!!int '4000'", 4000),
    ],
)
def test_numbers_as_yaml_has_them(written: str, number: int) -> None:
    text = f"{HEAD}tproxies: {{c: {{port: 1, mark: {written}}}}}"
    assert config(text).tproxies[0].mark == number


@pytest.mark.parametrize(
    ("written", "root"),
    [("AUTO", None), ("/", "/"), ("/cg", "/cg"), ("/cg//", "/cg"), ("'/a b/'", "/a b")],
)
def test_cgroup_root(written: str, root: str | None) -> None:
    text = f"version: 1\nroute-table: 1\ncgroup-root: {written}"
    assert config(text).cgroup_root == root


@pytest.mark.parametrize("name", ["1", "on", "a b", "größe", "x" * 100, "a.b", "<", "1.5"])
def test_names_and_patterns_are_text_as_written(name: str) -> None:
    tproxies = f"tproxies: {{{name}: {{port: 1, mark: 1}}}}\n"
    text = f"{HEAD}{tproxies}rules: [{{match: {name}, tproxy: {name}}}]"
    read = config(text)
    assert read.tproxies[0].name == name
    assert read.rules[0] == Rule(name, Decision("tproxy", name), 5)


def test_aliases_and_merge_keys() -> None:
    text = f"""\
{HEAD}
tproxies:
  a: &a {{port: 1, mark: 1, no-udp: true}}
  b: {{<<: *a, mark: 2}}
  c: {{mark: 3, <<: [{{port: 7}}, *a]}}
  d: &d {{<<: {{<<: *a, no-ipv6: true}}, mark: 4}}
rules: [&r {{match: a, tproxy: a}}, {{<<: *r, match: b}}]
"""
    read = config(text)
    assert read.tproxies == (
        Tproxy("a", 1, 1, no_udp=True),
        Tproxy("b", 1, 2, no_udp=True),
        Tproxy("c", 7, 3, no_udp=True),
        Tproxy("d", 1, 4, no_udp=True, no_ipv6=True),
    )
    assert [rule.match for rule in read.rules] == ["a", "b"]


def test_byte_order_mark_and_windows_line_ends() -> None:
    assert config("\ufeff" + HEAD.replace("\n", "\r\n")).route_table == 300


def test_importing_the_model_imports_no_parser() -> None:
    code = """
import sys
before = set(sys.modules)
import cgtproxy.config.model
print({"yaml", "re2", "difflib", "json"} & (set(sys.modules) - before))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("set()\n", "")
