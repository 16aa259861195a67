"""What goes in comes out, through the built-in server and every kind of upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bed
from bed import transfers, upstreams
from bed.built_in import Start, config
from bed.transfers import transfer
from bed.upstreams import https

ADDRESS = f"127.0.0.1:{upstreams.PORT}"
SOCKS5, HTTP = f"socks5://{ADDRESS}", f"http://{ADDRESS}"
SIZES = st.sampled_from([0, 1, 100, 65535, 65536, 65537, 300_000, 5_000_000]) | st.integers(
    0, 200_000
)
OUTCOMES = {"fin": "received", "close": "received", "reset": "reset", "cut": "cut"}
# Those who pass no half-close on can only carry transfers that end in one go; none passes resets.
SERVERS: dict[str, tuple[upstreams.Make, str, list[str]]] = {
    "microsocks": (lambda home, _: upstreams.microsocks(home), SOCKS5, ["close"]),
    "dante": (upstreams.dante, SOCKS5, ["fin", "close"]),
    "ssh": (upstreams.Ssh, SOCKS5, ["fin", "close"]),
    "sing-box-socks": (
        lambda home, at: upstreams.sing_box(home, at, "socks"),
        SOCKS5,
        ["fin", "close"],
    ),
    "tinyproxy": (upstreams.tinyproxy, HTTP, ["close"]),
    "sing-box-http": (
        lambda home, at: upstreams.sing_box(home, at, "http"),
        HTTP,
        ["fin", "close"],
    ),
    "sing-box-https": (https, f"https://{ADDRESS}?ca-file=CA", ["fin", "close"]),
}


def some_transfers(*ends: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    each = st.builds(
        transfer,
        up=SIZES,
        down=SIZES,
        piece=st.sampled_from([100, 1448, 16384, 65536, 1 << 20]),
        reader=st.sampled_from([0, 0, 4096]),
        end=st.sampled_from(ends),
    )
    return st.lists(each, min_size=1, max_size=8)


def check(app: bed.Cgroup, server: transfers.TransferServer, *ends: str) -> None:
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(some_transfers(*ends), st.booleans())
    def hold(plan: list[dict[str, Any]], six: bool) -> None:
        known = len(server.lines)
        done = transfers.run(app, bed.REMOTE6 if six else bed.REMOTE4, plan)
        assert done == ["ok"] * len(plan)
        bed.wait_until(lambda: len(server.lines) - known == len(plan), "all ends")
        assert sorted(server.lines[known:]) == sorted(OUTCOMES[t["end"]] for t in plan)

    hold()


@pytest.fixture
def app(cgroup: bed.MakeCgroup) -> Iterator[bed.Cgroup]:
    with bed.sealed(cgroup("app")) as home:
        yield home


@pytest.mark.parametrize(
    "workers", [{}, {"count": 1, "pipes": 1}, {"count": 1, "pipes": 0}], ids=str
)
def test_directly(
    start: Start, app: bed.Cgroup, server: transfers.TransferServer, workers: dict[str, int]
) -> None:
    with start(config(workers=workers)) as proxy:
        check(app, server, "fin", "close", "reset", "cut")
        assert "Traceback" not in proxy.output


@pytest.mark.parametrize("name", SERVERS)
def test_through(
    start: Start,
    app: bed.Cgroup,
    cgroup: bed.MakeCgroup,
    server: transfers.TransferServer,
    tmp_path: Path,
    name: str,
) -> None:
    make, url, ends = SERVERS[name]
    text = config(url.replace("CA", str(tmp_path / "cert.pem")))
    with make(cgroup("upstream"), tmp_path), start(text) as proxy:
        check(app, server, *ends)
        assert "Traceback" not in proxy.output


def test_a_half_close_under_tls_loses_nothing_that_comes_meanwhile(
    start: Start,
    app: bed.Cgroup,
    cgroup: bed.MakeCgroup,
    server: transfers.TransferServer,
    tmp_path: Path,
) -> None:
    plan = [transfer(up=65536, down=65536, piece=100, reader=4096, end="fin")] * 8
    with (
        https(cgroup("upstream"), tmp_path),
        start(config(f"https://{ADDRESS}?ca-file={tmp_path}/cert.pem")),
    ):
        for _ in range(20):
            assert transfers.run(app, bed.REMOTE4, plan) == ["ok"] * len(plan)
