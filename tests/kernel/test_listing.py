"""`cgtproxy rules` tells in nft's own words what the daemon installs."""

from __future__ import annotations

import pytest

import bed

FIRST = bed.configuration.FIRST["first"]
DNS = {**FIRST, "dns-hijack": {"tcp": True, "ip6": "::1", "port": 5353}}
MANY = {
    f"a b/{number}é" * 5: {
        "port": 10000 + number,
        "mark": 2**32 - number,
        **({"no-udp": True} if number % 2 else {}),
        **({"no-ipv6": True} if number % 3 else {}),
        **({"dns-hijack": {"ip": "10.0.0.1", "tcp": number % 2 == 0}} if number > 3 else {}),
    }
    for number in range(1, 7)
}
BYPASS = ["10.0.0.0/8", "10.1.0.0/16", "127.0.0.0/8", "::1", "255.0.0.0/8", "ff00::/8", "fe80::/10"]
CONFIGURATIONS = {
    "plain": bed.config(),
    "only-rules": bed.config({"^/drop": "drop", "^/proxy": "direct"}, tproxies={}, bypass=[]),
    "catch-all": bed.config({"^/direct": "direct", ".": "first"}),
    "dns": bed.config(tproxies={"first": DNS}, bypass=BYPASS),
    "everything-bypassed": bed.config(bypass=["0.0.0.0/0", "::/0"]),
    "many": bed.config(
        {"^/direct": "direct", "^/drop/": "drop"}
        | {f"{number}$": name for number, name in enumerate(MANY, 1)},
        tproxies=MANY,
        bypass=BYPASS,
    ),
}
CGROUPS = ["proxy", "drop/1", "drop/2/x/3", "direct/4/5", "proxy/6", "proxy/a b'c/{}/1", "a/proxy"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_nft_makes_the_same_of_it(cgroup: bed.MakeCgroup, name: str) -> None:
    for path in CGROUPS:
        cgroup(path)
    with bed.Daemon(CONFIGURATIONS[name]) as daemon:
        printed = bed.cgtproxy("rules", "-c", str(daemon.config), wrapper=bed.UNPRIVILEGED)
        assert printed.returncode == 0, printed.stderr
        installed = bed.daemons_table()
    bed.nft(printed.stdout)
    assert bed.daemons_table() == installed
    bed.reset()


def test_what_nft_cannot_name_is_told_in_a_comment(cgroup: bed.MakeCgroup) -> None:
    odd, plain = cgroup(b'drop"\\\xff\t'), cgroup("drop")
    with bed.Daemon(bed.config()) as daemon:
        printed = bed.cgtproxy("rules", "-c", str(daemon.config)).stdout
        assert bed.verdicts() == {odd.id: "return", plain.id: "return"}
    bed.nft(printed)
    assert bed.verdicts() == {plain.id: "return"}
    assert f"# cgroup id {odd.id}" in printed
    bed.reset()
