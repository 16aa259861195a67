"""Connections to an upstream that are made before they are needed."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import bed
from bed.built_in import Start, config
from bed.upstreams import PORT, Upstream

MakeUpstream: TypeAlias = Callable[..., Upstream]
Visit: TypeAlias = Callable[..., str]
TELLING_SOCKS = str(bed.PROGRAMS / "telling_socks.py")


@pytest.fixture
def upstream(cgroup: bed.MakeCgroup) -> MakeUpstream:
    def make(*options: str, serve: str = "connect") -> Upstream:
        argv = [sys.executable, TELLING_SOCKS, str(PORT), serve, *options]
        return Upstream(argv, cgroup("upstream"))

    return make


@pytest.fixture
def text() -> str:
    keys: dict[str, Any] = {"health-check": 0, "workers": {"count": 1}}
    return config(f"socks5://127.0.0.1:{PORT}", **keys)


@pytest.fixture
def visit(cgroup: bed.MakeCgroup) -> Visit:
    """Connects to the origin, or asks it by UDP; says by whom that was answered."""
    app = cgroup("app")

    def visited(protocol: str = "tcp") -> str:
        flow = bed.Flow(protocol, bed.REMOTE4, 443)
        return bed.probe(app, flow, timeout=8)[flow].by

    return visited


def ports(server: Upstream, what: str) -> list[str]:
    return [line.split()[1] for line in server.lines if line.startswith(what)]


def wait_ports(server: Upstream, what: str, number: int, timeout: float = 10) -> list[str]:
    return server.wait_news(
        lambda: found if len(found := ports(server, what)) >= number else None,
        f"{number} times {what!r}",
        timeout,
    )


def test_the_next_connection_finds_one(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str
) -> None:
    with upstream() as server, start(text):
        assert visit() == "origin"
        first, *spares = wait_ports(server, "greeted", 3)
        assert ports(server, "asked") == [first]
        assert visit() == "origin"
        (second,) = ports(server, "asked")[1:]
        spares.remove(second)
        # Another one has taken its place, and nobody needs it: it ends after 10 seconds.
        last = wait_ports(server, "greeted", 4)[3]
        assert set(wait_ports(server, "ended", 2, 20)) == {*spares, last}


def test_those_that_the_server_has_ended_are_not_taken(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str
) -> None:
    with upstream() as server, start(text):
        assert visit() == "origin"
        first = wait_ports(server, "greeted", 3)[0]
        server.process.send_signal(signal.SIGUSR1)
        wait_ports(server, "ended", 2)
        assert visit() == "origin"
        assert ports(server, "asked") == [first, wait_ports(server, "greeted", 4)[3]]


@pytest.mark.parametrize("how", ["end", "reset"])
def test_one_that_ends_when_it_is_asked_harms_nobody(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str, how: str
) -> None:
    with upstream(how) as server, start(text) as daemon:
        assert visit() == "origin"
        wait_ports(server, "greeted", 3)
        assert visit() == "origin"
        asked = ports(server, "asked")
        assert asked[1] in wait_ports(server, "greeted", 3)[1:3]
        assert len(asked) > 2
        assert "failed" not in daemon.output


def test_one_that_leads_nowhere_any_more_is_given_up(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str
) -> None:
    """As after a change of the network, or when a router has forgotten it."""
    with upstream() as server, start(text) as daemon:
        assert visit() == "origin"
        first, *spares = wait_ports(server, "greeted", 3)
        bed.nft(f"""
            table inet forgetful {{
                chain output {{
                    type filter hook output priority 0
                    tcp dport {PORT} tcp sport {{ {", ".join(spares)} }} drop
                }}
            }}
        """)
        assert visit() == "origin"
        asked = ports(server, "asked")
        assert asked[0] == first
        assert len(asked) == 2 and asked[1] not in spares
        assert not re.search("failed|is down", daemon.output)
        bed.nft("delete table inet forgetful")


def test_an_upstream_that_has_gone_is_missed_at_once(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str
) -> None:
    with upstream() as server, start(text) as daemon:
        assert visit() == "origin"
        wait_ports(server, "greeted", 3)
        server.kill()
        assert visit() == "reset"
        daemon.wait_line("failed: Connection refused")


def wait_associations(server: Upstream) -> Any:
    """The two that are ready. A server's threads may tell of an association late."""
    asked = wait_ports(server, "asked", 1)
    return set(wait_ports(server, "greeted", 3)) - set(asked)


def test_the_next_client_of_udp_finds_an_association(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str
) -> None:
    with upstream(serve="associate") as server, start(text):
        assert visit("udp") == "origin"
        spares = wait_associations(server)
        assert visit("udp") == "origin"
        asked = wait_ports(server, "asked", 2)
        assert asked[1] in spares
        greeted = wait_ports(server, "greeted", 4)
        assert set(wait_ports(server, "ended", 2, 20)) == set(greeted) - set(asked)


def test_associations_that_the_server_has_ended_are_not_taken(
    start: Start, upstream: MakeUpstream, visit: Visit, text: str
) -> None:
    with upstream(serve="associate") as server, start(text):
        assert visit("udp") == "origin"
        spares = wait_associations(server)
        server.process.send_signal(signal.SIGUSR1)
        wait_ports(server, "ended", 2)
        assert visit("udp") == "origin"
        assert wait_ports(server, "asked", 2)[1] not in spares
