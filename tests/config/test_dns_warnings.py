"""The keys of `dns`: what is allowed but hardly meant."""

from __future__ import annotations

import pytest

from config.texts import Faults, file_of

ADD = "add `dns: {}`, or a dns-hijack"
NEVER = "never takes effect: mode: forward gives no fake-ip addresses; remove it, or the mode"
PAST = "sends queries over UDP past this TPROXY's DNS server"


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (
            "upstream: socks5://h",
            [
                "6:35: tproxies.a.upstream: names are looked up over UDP, which many SOCKS5 "
                f"servers (ssh, Tor) do not carry; {ADD}"
            ],
        ),
        (
            "upstream: [drop://, 'http://h']",
            [
                "6:45: tproxies.a.upstream[1]: http:// carries no UDP: queries for names are "
                f"dropped; {ADD}"
            ],
        ),
        (
            "upstream: https://h, udp: direct",
            [
                "6:35: tproxies.a.upstream: https:// carries no UDP: queries for names go past "
                f"it, directly; {ADD}"
            ],
        ),
        (
            "upstream: ['http://h', direct://]",
            [
                "6:36: tproxies.a.upstream[0]: http:// carries no UDP: queries for names go past "
                f"it, directly; {ADD}"
            ],
        ),
        (
            "upstream: ['http://h', 'socks5://h'], udp: direct",
            [
                "6:48: tproxies.a.upstream[1]: names are looked up over UDP, which many SOCKS5 "
                f"servers (ssh, Tor) do not carry; {ADD}"
            ],
        ),
        ("upstream: direct://", []),
        ("upstream: socks5://h, dns: {}", []),
        ("upstream: http://h, dns-hijack: {}", []),
        ("upstream: socks5://h, no-udp: true", []),
        (
            "no-udp: true, upstream: socks5://h, dns: {}",
            [
                f"6:33: tproxies.a.no-udp: {PAST}, and UDP to fake-ip addresses is refused; "
                "remove no-udp or dns"
            ],
        ),
        (
            "no-udp: true, upstream: socks5://h, dns: {mode: forward}",
            [f"6:33: tproxies.a.no-udp: {PAST}; remove no-udp or dns"],
        ),
        (
            "upstream: drop://, dns: {mode: forward, pool: 198.18.0.0/15, pool6: 'fd00::/9'}",
            [f"6:71: tproxies.a.dns.pool: {NEVER}", f"6:93: tproxies.a.dns.pool6: {NEVER}"],
        ),
        (
            "upstream: drop://, dns: {ttl: 1, mode: forward, exclude: []}",
            [f"6:55: tproxies.a.dns.ttl: {NEVER}"],
        ),
    ],
)
def test_warnings(warnings: Faults, keys: str, wanted: list[str]) -> None:
    assert warnings(file_of(keys)) == [f"f:{warning}" for warning in wanted]
