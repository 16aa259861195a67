"""Fake-ip addresses: whatever the configuration says of others, these must not be sent anywhere."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

import bed

NAMES = {"port": 10005, "mark": 3005, "upstream": "drop://", "dns": {}}
FAKE_IP: dict[str, Any] = {"host4": "198.18.0.9", "host6": "fc00::9"}
ERROR = str(bed.PROGRAMS / "udp_refused.py")
BYPASS = ["127.0.0.0/8", "::1", "198.16.0.0/12", "fc00::/7"]


def configuration(**keys: Any) -> str:
    first = {**bed.configuration.FIRST["first"], **keys}
    return bed.config(tproxies={"names": NAMES, "first": first}, bypass=BYPASS)


@pytest.mark.parametrize(
    ("keys", "denied"),
    [
        ({}, set()),
        ({"no-udp": True}, {"udp4", "udp6"}),
        ({"no-ipv6": True}, set()),
        ({"no-udp": True, "no-ipv6": True}, {"udp4", "udp6"}),
    ],
)
def test_they_are_neither_bypassed_nor_sent_direct(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, keys: dict[str, bool], denied: set[str]
) -> None:
    with bed.Daemon(configuration(**keys)):
        app = cgroup("proxy")
        seen = bed.paths(app, 443, **FAKE_IP)
        assert seen == bed.everywhere("tproxy") | dict.fromkeys(denied, "denied")
        near: dict[str, Any] = {"host4": "198.20.0.9", "host6": "fc00:4000::9"}
        assert bed.paths(app, 443, **near) == bed.everywhere("origin")


@pytest.mark.parametrize(
    ("host", "family"), [("198.18.0.9", socket.AF_INET), ("fc00::9", socket.AF_INET6)]
)
def test_an_app_learns_at_once_that_quic_is_not_to_be(
    cgroup: bed.MakeCgroup, host: str, family: int
) -> None:
    with bed.Daemon(configuration(**{"no-udp": True})):
        command = [sys.executable, ERROR, host, str(int(family))]
        app = cgroup("proxy").spawn(command, stdout=subprocess.PIPE)
        output, _ = app.communicate(timeout=60)
        assert output == b"refused\n"


def test_an_app_that_goes_direct_is_left_alone(cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(configuration()):
        assert bed.paths(cgroup("direct"), 443, **FAKE_IP) == bed.everywhere("origin")
