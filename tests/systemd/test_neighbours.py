"""Other programs that keep the same kernel's rules: none of them makes a ruled app go direct."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import bed
from bed.machine import PROGRAMS, PYTHON, Machine, UnitProber
from bed.service import Service

# Hooks, priorities and idioms of firewalld's table and of docker's (iptables-nft) tables.
FIREWALL = """
table inet firewall {
    chain mangle_prerouting {
        type filter hook prerouting priority -140;
        icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
        meta nfproto ipv6 fib saddr . mark . iif oif missing drop
    }
    chain filter_input {
        type filter hook input priority 10;
        ct state { established, related } accept
        iifname "lo" accept
        ct state invalid drop
        reject with icmpx admin-prohibited
    }
    chain filter_forward {
        type filter hook forward priority 10;
        reject with icmpx admin-prohibited
    }
    chain filter_output { type filter hook output priority 10; oifname "lo" accept; }
    chain nat_postrouting { type nat hook postrouting priority 110; oifname "uplink" masquerade; }
}
table ip nat {
    chain DOCKER { iifname "docker0" return; tcp dport 8080 dnat to 172.17.0.2:80; }
    chain PREROUTING {
        type nat hook prerouting priority -100;
        fib daddr type local counter jump DOCKER
    }
    chain OUTPUT {
        type nat hook output priority -100;
        ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER
    }
    chain POSTROUTING {
        type nat hook postrouting priority 100;
        ip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade
    }
}
table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy drop; }
}
"""


@pytest.fixture
def apps(machine: Machine, service: Service) -> Iterator[dict[str, UnitProber]]:
    """A proxied, a dropped and another app that try everything all the time.

    The other one has a destination of its own: its masqueraded ports are nobody else's.
    """
    with ExitStack() as stack:
        probers = {
            name: stack.enter_context(
                UnitProber(machine, f"{name}.service", *bed.flows(port), timeout=timeout)
            )
            for name, port, timeout in (("proxied", 80, 5), ("dropped", 80, 1), ("other", 443, 5))
        }
        for prober in probers.values():
            prober.wait_rounds()
        yield probers
        assert latest(probers["proxied"]) == {"tproxy"}
    assert "origin" not in probers["proxied"].answers
    assert probers["dropped"].answers == {"timeout", "denied"}


def wait_configured(machine: Machine, link: str) -> None:
    def configured() -> bool:
        state = machine.run("networkctl", "--no-legend", "list", link, check=False).stdout.split()
        return state[-1:] == ["configured"]

    bed.wait_until(configured, f"networkd to have configured {link}")


def latest(prober: UnitProber) -> set[str]:
    return {record.outcome.by for record in prober.wait_rounds(2)}


def test_networkd_deletes_foreign_ip_rules(
    machine: Machine, service: Service, apps: dict[str, UnitProber]
) -> None:
    """It does so at each reconfiguration; other versions also when they start."""
    ours = bed.ip_rules(4), bed.ip_rules(6)
    bed.run("ip", "link", "add", "other", "type", "bridge")
    network = "[Match]\nName=other\n[Network]\nConfigureWithoutCarrier=yes\nAddress=10.9.9.9/24\n"
    machine.write("/run/systemd/network/other.network", network)
    try:
        for starts in (1, 2):
            machine.systemctl("restart", "systemd-networkd")
            wait_configured(machine, "other")
            machine.run("networkctl", "reconfigure", "other")
            service.wait_message(f"(?s)(mended: missing IPv4 rule.*){{{starts}}}")
        bed.wait_until(lambda: (bed.ip_rules(4), bed.ip_rules(6)) == ours, "the rules")
        assert latest(apps["other"]) == {"origin"}
    finally:
        machine.systemctl("stop", "systemd-networkd.socket", "systemd-networkd")
        bed.run("ip", "link", "delete", "other")


def test_nftables_service_flushes_the_ruleset(
    machine: Machine, service: Service, apps: dict[str, UnitProber]
) -> None:
    table = bed.nft_listing("table", "inet", "cgtproxy")
    for verb in ("start", "restart", "reload", "stop"):
        machine.systemctl(verb, "nftables")
        assert bed.nft_listing("table", "inet", "cgtproxy") == table
    assert {t["table"]["name"] for t in bed.nft_json("tables")} == {"cgtproxy"}


def test_a_firewall_and_a_container_engine_beside_us(
    machine: Machine, service: Service, apps: dict[str, UnitProber]
) -> None:
    bed.nft(FIREWALL)  # after our table
    try:
        for prober, by in (("proxied", "tproxy"), ("other", "origin")):
            assert latest(apps[prober]) == {by}
        machine.systemctl("stop", "cgtproxy")
        machine.systemctl("start", "cgtproxy")  # before our table
        # Once the kernel drops what has the port of a masqueraded datagram and goes out elsewhere
        # (nf_nat_oif_changed): so it would be with those of the time in which nobody was ruled.
        bed.forget_flows()
        assert latest(apps["proxied"]) == {"tproxy"}
        assert latest(apps["other"]) == {"origin"}
        # While we were stopped, of course, nobody was ruled.
        for app in apps.values():
            app.lines.clear()
    finally:
        for entry in bed.nft_json("tables"):
            family, name = entry["table"]["family"], entry["table"]["name"]
            if name != "cgtproxy":
                bed.run("nft", "delete", "table", family, name)


def test_the_stub_resolver_and_dns_hijack(machine: Machine, service: Service) -> None:
    """An app asks the stub on loopback, as /etc/resolv.conf says, and gets the hijacker."""
    hijack = {"ip": "127.0.0.1", "port": 5300, "tcp": True}
    tproxies = {"first": {**bed.configuration.FIRST["first"], "dns-hijack": hijack}}
    service.reconfigure(bed.config({"/proxied": "first"}, tproxies=tproxies))
    resolver = "systemd-resolved.service"
    machine.run(
        *("systemd-run", "--quiet", "--collect", f"--unit={resolver}"),
        *(PYTHON, "-IS", f"{PROGRAMS}/responder.py", "stub", "53"),
    )
    stub = [bed.Flow(protocol, "127.0.0.53", 53) for protocol in ("tcp", "udp")]
    upstream = [bed.Flow("udp", bed.REMOTE4, 53), bed.Flow("tcp", bed.REMOTE4, 53)]
    try:
        with bed.Responder("hijacker", 5300):
            bed.wait_until(lambda: asked(machine, "other.service", *stub) == {"stub"}, "the stub")
            assert asked(machine, "proxied.service", *stub, *upstream) == {"hijacker"}
            # The resolver itself asks upstream, for all apps that nothing hijacks.
            assert asked(machine, "resolver.service", *upstream) == {"origin"}
    finally:
        machine.systemctl("stop", resolver)


def asked(machine: Machine, unit: str, *flows: bed.Flow) -> set[str]:
    once = UnitProber(machine, unit, *flows, interval=0).start()
    assert once.wait() == 0, once
    return once.answers
