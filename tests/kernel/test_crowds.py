"""Many flows at once through the built-in server, and the limits that they meet."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

import bed
from bed import upstreams
from bed.built_in import Start, config, processes
from bed.crowd import Crowd, CrowdServer, Usage

SOCKS5 = f"socks5://127.0.0.1:{upstreams.PORT}"
MANY = 5000
ARENA = 1 << 20  # bytes: what Python's allocator asks for at a time
ADDRESSES = [f"192.0.2.{n}" for n in range(1, 21)] + [f"2001:db8::{n}" for n in range(1, 21)]


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """For the clients, the upstream and the world; this is not about theirs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def world() -> Iterator[CrowdServer]:
    with CrowdServer() as server:
        yield server


@pytest.fixture
def app(cgroup: bed.MakeCgroup) -> Iterator[bed.Cgroup]:
    with bed.sealed(cgroup("app")) as home:
        yield home


def carrier(
    upstream: str, protocol: str, home: bed.Cgroup, directory: Path
) -> AbstractContextManager[Any]:
    """An upstream that can do it with 20,000 descriptors: sing-box takes six a TCP connection."""
    if upstream == "direct://":
        return nullcontext()
    if protocol == "tcp":
        return upstreams.microsocks(home)
    return upstreams.sing_box(home, directory, "socks")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("upstream", ["direct://", SOCKS5], ids=["direct", "socks5"])
def test_thousands_at_once(
    start: Start,
    cgroup: bed.MakeCgroup,
    app: bed.Cgroup,
    world: CrowdServer,
    tmp_path: Path,
    upstream: str,
    protocol: str,
) -> None:
    text = config(upstream, workers={"count": 2, "udp-timeout": 8})  # longer than a round takes
    rounds = 5 if protocol == "udp" else 2  # a flow's fifth datagram goes another way
    crowds = 4 if upstream == "direct://" else 2  # those upstreams are slow
    with carrier(upstream, protocol, cgroup("upstream"), tmp_path), start(text) as server:
        workers = processes(server)
        before = Usage.of(*workers)
        used = []
        for _ in range(crowds):
            with Crowd(app, protocol, MANY, *ADDRESSES) as crowd:
                for _ in range(rounds):
                    assert crowd.ask() == {"right": MANY}
                used.append(Usage.of(*workers))
                crowd.close()
            bed.wait_until(
                lambda: Usage.of(*workers).descriptors == before.descriptors, "the end", timeout=60
            )
        assert used[0].descriptors - before.descriptors >= 2 * MANY
        assert used[0].memory - before.memory < MANY * 8192
        # The workers share the flows in another way each time: an arena more for each is no leak.
        grown = used[-1].memory - used[0].memory
        assert grown < len(workers) * ARENA + (crowds - 1) * MANY * 256, (
            "what has ended was not given back"
        )
        assert processes(server) == workers
        told = [line for line in server.lines if "config.yaml" not in line]
        assert not [line for line in told if " WARNING " in line or " ERROR " in line]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_upstream_is_killed_and_comes_back(
    start: Start,
    cgroup: bed.MakeCgroup,
    app: bed.Cgroup,
    world: CrowdServer,
    tmp_path: Path,
    protocol: str,
) -> None:
    home = cgroup("upstream")
    text = config(SOCKS5, workers={"count": 2, "udp-timeout": 4}, health_check=1)
    with start(text) as server, carrier(SOCKS5, protocol, home, tmp_path) as upstream:
        workers = processes(server)
        before = Usage.of(*workers).descriptors
        with Crowd(app, protocol, 500, *ADDRESSES, patience=3) as crowd:
            assert crowd.ask() == {"right": 500}
            upstream.kill()
            assert "right" not in crowd.ask()
            server.wait_line(f"{SOCKS5} is down")
            bed.wait_until(lambda: Usage.of(*workers).descriptors == before, "the end of all", 30)
            crowd.close()
        upstream.start()
        server.wait_line(f"{SOCKS5} is up")
        with Crowd(app, protocol, 500, *ADDRESSES) as crowd:
            assert crowd.ask() == {"right": 500}
            crowd.close()
        assert processes(server) == workers
        assert "Traceback" not in server.output
