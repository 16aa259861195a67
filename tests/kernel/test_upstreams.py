"""The built-in server through the proxy servers that people use."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import pytest

import bed
from bed import upstreams
from bed.built_in import Start, config, tcp
from bed.upstreams import ADDRESS, PASSWORD, PORT, SERVERS, USER, https

LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


@pytest.mark.parametrize("name", SERVERS)
def test_tcp_through(name: str, start: Start, cgroup: bed.MakeCgroup, tmp_path: Path) -> None:
    make, url = SERVERS[name]
    text = config(url.replace("CA", str(tmp_path / "cert.pem")))
    with make(cgroup("upstream"), tmp_path) as server, start(text):
        app = cgroup("app")
        for flow, outcome in bed.probe(app, *tcp(443)).items():
            assert (flow, outcome.by, outcome.local) == (flow, "origin", (flow.host, 443))
        for outcome in bed.probe(app, *tcp(9)).values():  # where the origin refuses
            # sing-box says yes before it knows; then TLS may end by close_notify.
            assert outcome.by in (
                {"reset", "closed", "EPIPE"} if name == "sing-box-https" else {"reset"}
            )
        server.stop()
        for flow, outcome in bed.probe(app, *tcp()).items():
            assert (flow, outcome.by) == (flow, "reset")


def test_a_wrong_password_is_told(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config(f"socks5://alice:wrong@{ADDRESS}")
    with (
        upstreams.microsocks(cgroup("upstream"), login=True),
        start(text) as server,
    ):
        server.wait_line(f"socks5://{ADDRESS} is down: the server refuses the user")
        assert {outcome.by for outcome in bed.probe(cgroup("app"), *tcp()).values()} == {"reset"}
        assert "wrong" not in server.output


def test_a_certificate_that_is_not_trusted(
    start: Start, cgroup: bed.MakeCgroup, tmp_path: Path
) -> None:
    text = config(f"https://{ADDRESS}")
    with https(cgroup("upstream"), tmp_path), start(text) as server:
        server.wait_line("is down: self-signed certificate")
        assert {outcome.by for outcome in bed.probe(cgroup("app"), *tcp()).values()} == {"reset"}


def test_passwords_in_files_and_credentials(
    start: Start, cgroup: bed.MakeCgroup, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    user = quote(USER, safe="")
    for option, env in (
        (f"password-file={tmp_path}/secret", {}),
        ("password-credential=secret", {"CREDENTIALS_DIRECTORY": str(tmp_path)}),
    ):
        text = config(f"socks5://{user}@{ADDRESS}?{option}")
        with (
            upstreams.microsocks(cgroup("upstream-" + option[:12]), login=True),
            start(text, env=env),
        ):
            seen = bed.probe(cgroup("app-" + option[:12]), *tcp())
            assert {outcome.by for outcome in seen.values()} == {"origin"}


def test_drop(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config("drop://")
    with start(text):
        assert {outcome.by for outcome in bed.probe(cgroup("app"), *tcp()).values()} == {"reset"}


def test_fail_over_and_back(start: Start, cgroup: bed.MakeCgroup) -> None:
    first, second = f"socks5://127.0.0.1:{PORT}", "socks5://127.0.0.1:1081"
    text = config([first, second], health_check=1)
    with (
        upstreams.microsocks(cgroup("second"), port=1081) as other,
        start(text) as server,
    ):
        app = cgroup("app")
        server.wait_line(f"{first} is down")
        assert {outcome.by for outcome in bed.probe(app, *tcp()).values()} == {"origin"}
        assert "connected to" in other.output
        with upstreams.microsocks(cgroup("first")) as one:
            server.wait_line(f"{first} is up")
            assert {outcome.by for outcome in bed.probe(app, *tcp()).values()} == {"origin"}
            assert "connected to" in one.output


def test_round_robin(start: Start, cgroup: bed.MakeCgroup) -> None:
    urls = [f"socks5://127.0.0.1:{port}" for port in (PORT, 1081)]
    text = config(urls, select="round-robin", workers={"count": 1})
    with (
        upstreams.microsocks(cgroup("first")) as one,
        upstreams.microsocks(cgroup("second"), port=1081) as two,
        start(text),
    ):
        app = cgroup("app")
        for _ in range(2):
            assert {outcome.by for outcome in bed.probe(app, *tcp()).values()} == {"origin"}
        assert [u.output.count("connected to") for u in (one, two)] == [2, 2]


@pytest.mark.parametrize(("on_down", "by"), [("drop", "reset"), ("direct", "origin")])
def test_all_upstreams_down(start: Start, cgroup: bed.MakeCgroup, on_down: str, by: str) -> None:
    text = config(["socks5://127.0.0.1:1", "http://127.0.0.1:2"], on_down=on_down)
    with start(text):
        assert {outcome.by for outcome in bed.probe(cgroup("app"), *tcp()).values()} == {by}


@pytest.mark.parametrize("name", ["dante", "sing-box-socks"])
def test_udp_through(name: str, start: Start, cgroup: bed.MakeCgroup, tmp_path: Path) -> None:
    make, url = SERVERS[name]
    text = config(url)
    with make(cgroup("upstream"), tmp_path), start(text) as server:
        # dante carries IPv6 datagrams only for who talks to it over IPv6.
        for flow in bed.flows()[: 2 if name == "dante" else 4]:
            with bed.Conversation(cgroup("app-" + flow.name), flow) as talk:
                answers = [outcome for _ in range(10) for outcome in talk.ask(5)]
                assert (flow, {outcome.by for outcome in answers}) == (flow, {"origin"})
                if name == "sing-box-socks":
                    assert {outcome.client for outcome in answers} <= {bed.PROXY4, bed.PROXY6}
        assert "WARNING" not in server.output.partition("workers serve")[2]


@pytest.mark.parametrize(("udp", "by"), [("drop", "timeout"), ("direct", "origin")])
def test_udp_beside_an_http_upstream(
    start: Start, cgroup: bed.MakeCgroup, udp: str, by: str
) -> None:
    text = config("http://127.0.0.1:1", udp=udp)
    with start(text):
        seen = bed.paths(cgroup("app"), timeout=1)
        assert seen == {"tcp4": "reset", "tcp6": "reset", "udp4": by, "udp6": by}


def test_a_socks_server_without_udp_is_told_of(start: Start, cgroup: bed.MakeCgroup) -> None:
    text = config(f"socks5://{ADDRESS}")
    with upstreams.microsocks(cgroup("upstream")), start(text) as server:
        seen = bed.paths(cgroup("app"), timeout=1)
        assert seen == {**bed.everywhere("origin"), "udp4": "timeout", "udp6": "timeout"}
        server.wait_line("carries no UDP: command not supported")


def test_workers_have_none_of_the_checks_connections(start: Start) -> None:
    """Else the upstream would see them open as long as the workers live."""
    with socket.create_server(("127.0.0.1", PORT)) as silent:
        text = config(f"socks5://{ADDRESS}", workers={"count": 2, "connect-timeout": 2})
        with start(text) as server:
            connection, _ = silent.accept()
            server.reload()
            server.wait_line("reloaded: 2 workers")
            with connection:
                connection.settimeout(10)
                assert connection.recv(3) == b"\5\1\0"
                assert connection.recv(1) == b""
