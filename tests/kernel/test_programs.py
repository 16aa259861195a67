"""Programs that people use, through the built-in server and the proxies that people use."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

import bed
from bed import upstreams, web
from bed.built_in import Start, config

ADDRESS = f"127.0.0.1:{upstreams.PORT}"
SOCKS5, HTTP = f"socks5://{ADDRESS}", f"http://{ADDRESS}"
BIG = 20_000_000


@pytest.fixture(scope="module")
def site(origin: bed.Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[web.WebServer]:
    with web.WebServer(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture
def app(cgroup: bed.MakeCgroup) -> Iterator[bed.Cgroup]:
    """Programs in it reach the world through the server, or not at all."""
    with bed.sealed(cgroup("app")) as home:
        yield home


@pytest.mark.parametrize("host", [bed.ORIGIN4, bed.ORIGIN6])
def test_curl(
    start: Start, app: bed.Cgroup, tmp_path: Path, site: web.WebServer, host: str
) -> None:
    body = tmp_path / "body"
    body.write_bytes(web.content(BIG))
    trust = ["--cacert", str(site.authority)]
    with start(config()):
        for where, version, *options in (
            (web.url("http", host), "--http1.1"),
            (web.url("https", host), "--http1.1", *trust),
            (web.url("https", host), "--http2", *trust),
        ):
            directory = tmp_path / f"{where[:5]}{version}"
            web.Fetching(app, directory, where, [BIG, 0, 1], version, *options).check()
            upload = ["curl", "--disable", "--silent", version, *options, "-T", str(body)]
            assert web.output(app, [*upload, f"{where}/"]) == web.digest(web.content(BIG))


@pytest.mark.parametrize(("host", "way"), [(bed.ORIGIN4, []), (bed.ORIGIN6, ["--reverse"])])
def test_iperf3(start: Start, app: bed.Cgroup, host: str, way: list[str]) -> None:
    with (
        bed.Program([*bed.OUTSIDE, "iperf3", "--server", "--forceflush"]) as server,
        start(config()),
    ):
        server.wait_line("Server listening")
        for options in ([], ["--udp", "--bitrate", "20M"]):
            client = ["iperf3", "--client", host, "--json", "--time", "1", *way, *options]
            report = json.loads(web.output(app, client))
            moved = report["end"].get("sum_received") or report["end"]["sum"]
            assert moved["bytes"] > 100_000, options
            assert moved.get("lost_percent", 0) < 50, options


UPSTREAMS = {
    "direct": (None, "direct://", True),
    "microsocks": (lambda home, _: upstreams.microsocks(home), SOCKS5, False),
    "dante": (upstreams.dante, SOCKS5, True),
    "ssh": (upstreams.Ssh, SOCKS5, False),
    "sing-box": (lambda home, at: upstreams.sing_box(home, at, "socks"), SOCKS5, True),
    "tinyproxy": (upstreams.tinyproxy, HTTP, False),
}


@pytest.mark.parametrize("name", UPSTREAMS)
def test_as_a_browser_does(
    name: str,
    start: Start,
    cgroup: bed.MakeCgroup,
    app: bed.Cgroup,
    tmp_path: Path,
    site: web.WebServer,
) -> None:
    """Many objects over few connections of all kinds, some of them big, some given up."""
    make, upstream, carries_udp = UPSTREAMS[name]
    trust = ["--cacert", str(site.authority)]
    small = [size * 997 for size in range(100)]
    with (
        make(cgroup("upstream"), tmp_path) if make else nullcontext(),
        start(config(upstream)) as server,
    ):
        pages = [
            web.Fetching(app, tmp_path / "plain", web.url("http"), small, "--http1.1"),
            web.Fetching(app, tmp_path / "tls", web.url(), small, "--http1.1", *trust),
            web.Fetching(app, tmp_path / "h2", web.url(), small, "--http2", *trust),
            web.Fetching(app, tmp_path / "big", web.url(), [3_000_000] * 4, "--http2", *trust),
        ]
        web.output(app, [sys.executable, "-IS", GIVING_UP, bed.ORIGIN4, str(web.PLAIN)])
        if carries_udp:
            wanted = [(f"GET:{size}", web.content(size)) for size in (0, 1, 70_000, 1_000_000)]
            wanted.append(("PUT:300000", web.digest(bytes(300_000)).encode()))
            answers = web.http3(app, site, web.url(), [request for request, _ in wanted])
            assert answers == [f"200 {web.digest(body)}" for _, body in wanted]
        for page in pages:
            page.check()
        assert "Traceback" not in server.output


GIVING_UP = str(bed.PROGRAMS / "giving_up.py")
