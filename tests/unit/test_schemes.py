"""The table of schemes: whoever adds a row is told what else it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cgtproxy.config.model import Upstream
from cgtproxy.config.schemes import SCHEMES, Scheme, UdpSupport
from cgtproxy.proxy.protocols.handshake import HostPort
from cgtproxy.proxy.upstreams.schemes import HANDSHAKES, connect_handshake

REMOTE = [scheme for scheme in SCHEMES.values() if scheme.remote]


def test_servers_have_handshakes_and_nobody_else() -> None:
    assert set(HANDSHAKES) == set(REMOTE)


@pytest.mark.parametrize("scheme", REMOTE, ids=str)
def test_who_carries_udp_by_association_can_ask_for_one(scheme: Scheme) -> None:
    wanted = scheme.udp is UdpSupport.ASSOCIATE
    assert (HANDSHAKES[scheme].associate is not None) is wanted


@pytest.mark.parametrize("scheme", REMOTE, ids=str)
def test_names_are_told_to_the_server(scheme: Scheme) -> None:
    handshake = connect_handshake(Upstream(scheme, "proxy.example", 1), HostPort("far.example", 80))
    assert b"far.example" in handshake.start() + handshake.resume()


def test_a_table_of_schemes_loads_no_tls() -> None:
    """It takes 2 MB in every process that has it."""
    program = "import sys, cgtproxy.proxy.upstreams.schemes; sys.exit('ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
