"""Every fault of a TPROXY's keys."""

from __future__ import annotations

import pytest

from config.texts import HEAD, PORT, U32, Faults


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
