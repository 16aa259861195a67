"""Whatever is done to it, in whatever order: nothing leaks, and in the end all is as it should be.

SEARCH_SEED repeats a run, SEARCH_SECONDS makes it longer.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

import bed
import search

ROOT = Path("/sys/fs/cgroup")
FLOOD = "chaos"
SECONDS = 5
FIRST = bed.configuration.FIRST["first"]
# All decide alike for the apps that are probed.
CONFIGURATIONS = [
    bed.config(bed.endings.RULES),
    bed.config(bed.endings.RULES, bypass=["203.0.113.0/24", "127.0.0.0/8"]),
    bed.config(bed.endings.RULES, route_table=301),
    bed.config(bed.endings.RULES, rule_priority=7),
    bed.config(bed.endings.RULES, tproxies={"first": {**FIRST, "mark": 77}}),
    bed.config({"^/no-such": "direct"} | bed.endings.RULES),
]


class Vandal:
    """Does one thing at a time, each to be survived."""

    def __init__(self, daemon: bed.Daemon, random: Random, owned: bool) -> None:
        self.daemon = daemon
        self.owned = owned
        self.random = random
        self.done: list[str] = []

    def act(self) -> None:
        action = self.random.choice(
            [
                self.flush_ruleset,
                self.change_table,
                self.delete_rule,
                self.flush_routes,
                self.kill,
                self.pause,
                self.flood,
                self.flood,
                self.unflood,
                self.reload,
                self.reload_badly,
                self.ipv6_off_and_on,
            ]
        )
        self.done.append(action.__name__)
        action()

    def flush_ruleset(self) -> None:
        bed.run("nft", "flush", "ruleset")

    def change_table(self) -> None:
        script = self.random.choice(
            [
                "delete table inet cgtproxy",
                "flush chain inet cgtproxy output",
                "flush map inet cgtproxy cgroup-vmap",
                "insert rule inet cgtproxy output accept",
            ]
        )
        done = subprocess.run(["nft", script], capture_output=True, check=False)
        assert done.returncode != 0 or not self.owned, script

    def delete_rule(self) -> None:
        family = self.random.choice(("-4", "-6"))
        priority = self.random.choice(("1000", "7"))
        command = ["ip", family, "rule", "del", "priority", priority]
        subprocess.run(command, capture_output=True, check=False)

    def flush_routes(self) -> None:
        family, table = self.random.choice(("-4", "-6")), self.random.choice(("300", "301"))
        command = ["ip", family, "route", "flush", "table", table]
        subprocess.run(command, capture_output=True, check=False)

    def kill(self) -> None:
        self.daemon.kill()
        if self.random.random() < 0.5:
            self.flood()
        if self.random.random() < 0.5:
            self.delete_rule()
        self.daemon.start()

    def pause(self) -> None:
        self.daemon.process.send_signal(signal.SIGSTOP)
        for _ in range(self.random.randrange(4)):
            self.random.choice((self.flood, self.unflood, self.delete_rule, self.flush_routes))()
        self.daemon.process.send_signal(signal.SIGCONT)

    def flood(self) -> None:
        for _ in range(self.random.randrange(60)):
            parent = ROOT / FLOOD
            for _ in range(self.random.randrange(1, 5)):
                end = self.random.choice(("drop", "proxy", "direct", "none"))
                parent /= f"{self.random.randrange(9)}{end}"
            parent.mkdir(parents=True, exist_ok=True)

    def unflood(self) -> None:
        tops = sorted((ROOT / FLOOD).glob("*/"))
        for top in self.random.sample(tops, len(tops) // 2):
            remove(top)

    def reload(self) -> None:
        self.daemon.reload(self.random.choice(CONFIGURATIONS))

    def reload_badly(self) -> None:
        good = self.daemon.config.read_text()
        self.daemon.reload("version: 1\nrules: [{match: '(', drop: true}]\n")
        self.daemon.write_config(good)  # a killed daemon must be able to start again

    def ipv6_off_and_on(self) -> None:
        switch = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
        switch.write_text("1")
        switch.write_text("0")


def remove(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        Path(directory).rmdir()


def levels_looked_at() -> set[int]:
    """One that is not used any more is given up a while later."""
    listing = bed.nft_listing("table", "inet", "cgtproxy")
    return {int(level) for level in re.findall(r"socket cgroupv2 level (\d+) vmap", listing)}


def levels_of(wanted: Mapping[int, Any]) -> set[int]:
    return {
        len(path.relative_to(ROOT).parts)
        for path in ROOT.rglob("*/")
        if path.stat().st_ino in wanted
    }


def state() -> Any:
    routing = [
        [bed.ip_rules(family), bed.ip_routes(family, 300), bed.ip_routes(family, 301)]
        for family in (4, 6)
    ]
    return bed.daemons_table(), routing


@pytest.mark.parametrize("owned", [True, False], ids=["owned", "not-owned"])
def test_chaos(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, owned: bool) -> None:
    (ROOT / FLOOD).mkdir()
    flows = bed.flows()
    program = ("-m", "cgtproxy") if owned else (bed.OLDER_KERNEL, "0")
    daemon = bed.Daemon(CONFIGURATIONS[0], env={"LOG_LEVEL": "info"}, program=program)
    vandal = Vandal(daemon, search.seeded(), owned)
    try:
        with daemon:
            apps = [cgroup(f"app-{end}") for end in ("proxy", "drop", "direct")]
            # How soon a new cgroup has its rule is another test's affair, and a matter of load.
            bed.wait_until(lambda: bed.verdicts() == bed.endings.wanted(), "the apps' rules")
            proxied, dropped, direct = (
                bed.Prober(app, *flows, interval=0.03, timeout=0.5) for app in apps
            )
            with proxied, dropped, direct:
                for prober in (proxied, dropped, direct):
                    prober.wait_rounds()
                for _ in search.lasting(SECONDS, time.monotonic):
                    vandal.act()
                print(", ".join(vandal.done))
                wanted = bed.endings.wanted()
                bed.wait_until(lambda: bed.verdicts() == wanted, "the map to be right", 30)
                assert bed.ancestors() == bed.endings.ancestors(wanted)
                bed.wait_until(lambda: settled(proxied), "the proxied app to be proxied", 30)
            used = levels_of(wanted)
            bed.wait_until(lambda: levels_looked_at() == used, "the unused levels to be given up")
            survivor = state()
            assert daemon.stop() == 0
            assert bed.traces() == []
            daemon.start()
            assert state() == survivor
    finally:
        remove(ROOT / FLOOD)
    assert "Traceback" not in daemon.output
    if owned:
        assert "origin" not in outcomes(proxied)
        assert outcomes(dropped) <= {"timeout", "denied"}
    assert outcomes(direct) == {"origin"}


def outcomes(prober: bed.Prober) -> Any:
    return {record.outcome.by for record in prober.records}


def settled(prober: bed.Prober) -> Any:
    return {record.outcome.by for record in prober.wait_rounds(2)} == {"tproxy"}
