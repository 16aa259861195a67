"""Opens the DNS sockets while IPv6 on loopback comes and goes."""

from __future__ import annotations

import subprocess
from ipaddress import ip_address
from pathlib import Path

from cgtproxy.config.model import Config, Dns, ListenAddress, Server, Tproxy, Upstream
from cgtproxy.config.schemes import DIRECT
from cgtproxy.proxy.supervisor.dns_sockets import DnsSockets


def ipv6(wanted: bool) -> None:
    Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text(str(int(not wanted)))


dns = Dns(tuple(ListenAddress(ip_address(host), 1053) for host in ("127.0.0.1", "::1")))
tproxies = (Tproxy("a", 1, 1, server=Server((Upstream(DIRECT),), dns=dns)),)
config = Config(None, 1, tproxies=tproxies)
ipv6(False)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
sockets = DnsSockets()


def count() -> list[int]:
    return [len(kind) for kind in sockets.of(config)["a"][:2]]


sockets.open(config)
assert count() == [1, 1], count()
ipv6(True)
assert count() == [1, 1], count()
sockets.open(config)
assert count() == [2, 2], count()
ipv6(False)
sockets.trim(config)
assert count() == [2, 2], count()
