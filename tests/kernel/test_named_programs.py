"""Programs that know names alone, and get fake-ip addresses for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from ipaddress import ip_address
from pathlib import Path

import pytest

import bed
from bed import upstreams, web
from bed.built_in import config
from bed.dns import dig
from bed.nameserver import Nameserver

NAME = "www.example"
SOCKS5 = f"socks5://127.0.0.1:{upstreams.PORT}"


@pytest.fixture(scope="module")
def site(origin: bed.Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[web.WebServer]:
    with web.WebServer(tmp_path_factory.mktemp("web"), NAME) as server:
        yield server


@pytest.fixture
def app(cgroup: bed.MakeCgroup) -> Iterator[bed.Cgroup]:
    with bed.sealed(cgroup("app")) as home:
        yield home


@contextmanager
def started(directory: Path, upstream: str = "direct://") -> Iterator[bed.Daemon]:
    environment = {"STATE_DIRECTORY": str(directory)}
    with bed.Daemon(config(upstream, dns={}), env=environment) as daemon:
        daemon.wait_line("workers serve")
        yield daemon


@pytest.mark.parametrize("protocol", ["+notcp", "+tcp"])
def test_dig(app: bed.Cgroup, tmp_path: Path, protocol: str) -> None:
    with started(tmp_path):
        (fake_ip,) = dig(app, protocol, "+noedns", NAME).found
        assert ip_address(fake_ip).is_private
        for options in (["+bufsize=512"], ["+bufsize=4096", "+dnssec"], ["+cookie"], ["+nsid"]):
            answer = dig(app, protocol, *options, NAME)
            assert (answer.status, answer.found) == ("NOERROR", [fake_ip]), options
        assert dig(app, protocol, "+edns=1", "+noednsneg", NAME).status == "BADVERS"


@pytest.mark.parametrize("name", ["direct", "dante", "sing-box"])
def test_curl_and_http3(
    app: bed.Cgroup, cgroup: bed.MakeCgroup, tmp_path: Path, site: web.WebServer, name: str
) -> None:
    servers: dict[str, tuple[Callable[..., AbstractContextManager[object]], str]] = {
        "direct": (lambda *_: nullcontext(), "direct://"),
        "dante": (upstreams.dante, SOCKS5),
        "sing-box": (lambda home, at: upstreams.sing_box(home, at, "socks"), SOCKS5),
    }
    make, upstream = servers[name]
    with (
        Nameserver() as nameserver,
        make(cgroup("upstream"), tmp_path),
        started(tmp_path, upstream) as daemon,
    ):
        nameserver.tell(NAME, bed.ORIGIN4)
        sizes = [0, 1, 3_000_000]
        trust = ["--cacert", str(site.authority)]
        fetching = web.Fetching(app, tmp_path / "h2", web.url(host=NAME), sizes, "--http2", *trust)
        answers = web.http3(app, site, web.url(host=NAME), ["GET:500000", "PUT:300000"])
        sent = web.digest(bytes(300_000)).encode()
        assert answers == [f"200 {web.digest(body)}" for body in (web.content(500_000), sent)]
        fetching.check()
        assert "Traceback" not in daemon.output


def test_names_of_the_far_end(
    app: bed.Cgroup, cgroup: bed.MakeCgroup, tmp_path: Path, site: web.WebServer
) -> None:
    """All that there is is `ssh -D`: who knows the name is at its other end."""
    hosts = f"{bed.ORIGIN4} {NAME}\n"
    with (
        Nameserver() as nameserver,
        upstreams.Ssh(cgroup("upstream"), tmp_path, hosts),
        started(tmp_path, SOCKS5),
    ):
        trust = ["--cacert", str(site.authority)]
        for version in ("--http1.1", "--http2"):
            where = tmp_path / version.strip("-")
            web.Fetching(app, where, web.url(host=NAME), [0, 1, 3_000_000], version, *trust).check()
        assert NAME not in nameserver.output
