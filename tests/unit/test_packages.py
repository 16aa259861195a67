"""Python packages that some configurations need, and others do not."""

from __future__ import annotations

import sys

import pytest

from cgtproxy.config.model import SYSTEM, Config, Dns, DnsUpstream, Server, Tproxy, Upstream
from cgtproxy.config.schemes import DIRECT
from cgtproxy.proxy.supervisor.packages import PackageMissingError, require_packages

HTTPS = DnsUpstream("https", "192.0.2.53", 443, "/dns-query")


def config(dns: Dns | None) -> Config:
    server = Server((Upstream(DIRECT),), dns=dns)
    return Config(None, 300, tproxies=(Tproxy("a", 10005, 3005, server=server),))


@pytest.mark.parametrize(
    ("module", "unharmed", "harmed", "told"),
    [
        ("h2", [None, Dns(())], [Dns((), (HTTPS,)), Dns((), (SYSTEM, HTTPS))], "python3-h2"),
        ("httpcore", [Dns(())], [Dns((), exclude_upstreams=(HTTPS,))], "python3-httpx"),
    ],
)
def test_what_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    unharmed: list[Dns | None],
    harmed: list[Dns],
    told: str,
) -> None:
    for dns in (*unharmed, *harmed):
        require_packages(config(dns))
    monkeypatch.setitem(sys.modules, module, None)
    for dns in unharmed:
        require_packages(config(dns))
    for broken in harmed:
        with pytest.raises(PackageMissingError, match=told):
            require_packages(config(broken))
