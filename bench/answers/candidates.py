"""The servers that are compared, each with fake-ip on PORT and nothing else to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from peers import mihomo_path, sing_box_path

PORT = 1053
POOL, POOL6 = "198.18.0.0/15", "fc00::/18"


def cgtproxy(directory: Path) -> Sequence[str]:
    file = directory / "config.yaml"
    dns = {"listen": f"127.0.0.1:{PORT}"}
    tproxy = {"port": 10001, "mark": 3000, "upstream": "direct://", "dns": dns}
    document = {"version": 1, "cgroup-root": "AUTO", "route-table": 300, "bypass": ["127.0.0.0/8"]}
    file.write_text(json.dumps(document | {"tproxies": {"bench": tproxy}, "rules": []}))
    return [sys.executable, "-m", "cgtproxy", "proxy", "-c", str(file), "--log-level", "error"]


def sing_box(directory: Path) -> Sequence[str]:
    real = {"type": "udp", "tag": "real", "server": "127.0.0.1", "server_port": 9}
    fake = {"type": "fakeip", "tag": "fake", "inet4_range": POOL, "inet6_range": POOL6}
    rules = [{"query_type": ["A", "AAAA"], "server": "fake"}]
    inbound = {"type": "direct", "tag": "in", "listen": "127.0.0.1", "listen_port": PORT}
    document = {
        "log": {"level": "error"},
        "dns": {"servers": [real, fake], "rules": rules, "final": "real"},
        "inbounds": [inbound],
        "outbounds": [{"type": "direct"}],
        "route": {
            "rules": [{"inbound": "in", "action": "hijack-dns"}],
            "default_domain_resolver": "real",
        },
    }
    file = directory / "sing-box.json"
    file.write_text(json.dumps(document))
    return [sing_box_path(), "run", "-c", str(file)]


def mihomo(directory: Path) -> Sequence[str]:
    dns = {
        "enable": True,
        "ipv6": True,
        "listen": f"127.0.0.1:{PORT}",
        "enhanced-mode": "fake-ip",
        "fake-ip-range": POOL,
        "fake-ip-range6": POOL6,
        "nameserver": ["127.0.0.1:9"],
    }
    document = {"log-level": "error", "ipv6": True, "dns": dns, "rules": ["MATCH,DIRECT"]}
    (directory / "config.yaml").write_text(json.dumps(document))  # JSON is YAML
    return [mihomo_path(), "-d", str(directory)]


CANDIDATES: dict[str, Callable[[Path], Sequence[str]]] = {
    "cgtproxy": cgtproxy,
    "sing-box": sing_box,
    "mihomo": mihomo,
}
