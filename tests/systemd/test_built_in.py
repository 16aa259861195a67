"""The built-in server as a part of the service."""

from __future__ import annotations

import bed
from bed.machine import UnitProber
from bed.service import Service, documented

TPROXIES = {"built-in": {"port": 10005, "mark": 3005, "upstream": "direct://"}}


def test_with_the_documented_settings_it_serves_tcp_and_udp(service: Service) -> None:
    service.override(**documented("systemd.md"))
    service.configure(bed.config({"/proxied": "built-in"}, tproxies=TPROXIES))
    service.machine.systemctl("restart", "cgtproxy")
    service.wait_message("workers serve built-in on port 10005")
    with UnitProber(service.machine, "proxied.service", *bed.flows(443), timeout=5.0) as prober:
        prober.wait_rounds(3)
    assert prober.answers == {"origin"}  # without a server it would be refused
    assert not service.log("PRIORITY=4")
