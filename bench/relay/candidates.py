"""The servers that are compared, each with the simplest configuration for `direct`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from peers import mihomo_path, sing_box_path

# Writes the configuration into a directory, with or without a SOCKS5 upstream: the command.
Candidate: TypeAlias = Callable[[Path, bool], Sequence[str]]

PORT, MARK, OWN_MARK = 10001, 3000, 713
SOCKS = 1080


def cgtproxy(directory: Path, socks: bool) -> Sequence[str]:
    file = directory / "config.yaml"
    upstream = f"socks5://127.0.0.1:{SOCKS}" if socks else "direct://"
    tproxy = {"port": PORT, "mark": MARK, "upstream": upstream}
    document = {"version": 1, "cgroup-root": "AUTO", "route-table": 300, "bypass": ["127.0.0.0/8"]}
    file.write_text(json.dumps(document | {"tproxies": {"bench": tproxy}, "rules": []}))
    return [sys.executable, "-m", "cgtproxy", "proxy", "-c", str(file), "--log-level", "error"]


def sing_box(directory: Path, socks: bool) -> Sequence[str]:
    file = directory / "sing-box.json"
    inbound = {"type": "tproxy", "listen": "::", "listen_port": PORT}
    outbound: dict[str, str | int] = {"type": "direct"}
    if socks:
        outbound = {
            "type": "socks",
            "server": "127.0.0.1",
            "server_port": SOCKS,
        }
    log = {"level": "error"}
    file.write_text(json.dumps({"log": log, "inbounds": [inbound], "outbounds": [outbound]}))
    return [sing_box_path(), "run", "-c", str(file)]


def mihomo(directory: Path, socks: bool) -> Sequence[str]:
    rule = "up" if socks else "DIRECT"
    lines = [f"tproxy-port: {PORT}", "mode: rule", "log-level: error", "ipv6: true"]
    if socks:
        lines += [
            "proxies:",
            f"  - {{name: up, type: socks5, server: 127.0.0.1, port: {SOCKS}, udp: true}}",
        ]
    (directory / "config.yaml").write_text("\n".join([*lines, f"rules: ['MATCH,{rule}']"]) + "\n")
    return [mihomo_path(), "-d", str(directory)]


def v2ray(directory: Path, socks: bool) -> Sequence[str]:
    binary = shutil.which("v2ray")
    assert binary
    inbound = {
        "port": PORT,
        "protocol": "dokodemo-door",
        "settings": {"network": "tcp,udp", "followRedirect": True},
        "streamSettings": {"sockopt": {"tproxy": "tproxy"}},
    }
    # By default it keeps a connection for seconds after one side has closed.
    policy = {"levels": {"0": {"uplinkOnly": 0, "downlinkOnly": 0}}}
    outbound = {"protocol": "freedom", "settings": {}}
    if socks:
        server = {"address": "127.0.0.1", "port": SOCKS}
        outbound = {"protocol": "socks", "settings": {"servers": [server]}}
    file = directory / "v2ray.json"
    log = {"loglevel": "error"}
    document = {"log": log, "policy": policy, "inbounds": [inbound], "outbounds": [outbound]}
    file.write_text(json.dumps(document))
    return [binary, "-config", str(file)]


CANDIDATES: dict[str, Candidate] = {
    "cgtproxy": cgtproxy,
    "sing-box": sing_box,
    "mihomo": mihomo,
    "v2ray": v2ray,
}


def microsocks(_: Path) -> Sequence[str]:
    return ["microsocks", "-i", "127.0.0.1", "-p", str(SOCKS)]


def dante(directory: Path) -> Sequence[str]:
    file = directory / "danted.conf"
    file.write_text(f"""
        internal: 127.0.0.1 port = {SOCKS}
        external: veth
        clientmethod: none
        socksmethod: none
        client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
        socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
    """)
    return ["danted", "-f", str(file)]


# Of the two dante alone carries UDP.
SOCKS_SERVERS: dict[str, Callable[[Path], Sequence[str]]] = {
    "microsocks": microsocks,
    "dante": dante,
}
