"""Connections to fake-ip addresses: whoever leads to the destination is given its name."""

from __future__ import annotations

from pathlib import Path

import pytest

import bed
from bed import upstreams
from bed.built_in import Start
from bed.fake_ip import NAME, PORT, REAL, ask, check, is_fake_ip
from bed.nameserver import Nameserver
from bed.upstreams import ADDRESS, SERVERS

REFUSED = {"tcp": "ConnectionResetError", "udp": "ConnectionRefusedError"}


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", REAL)
def test_directly(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, kind: str, version: int
) -> None:
    with start_fake_ip() as daemon:
        check(ask(cgroup("app"), kind, version, NAME, rounds=12), 12, REAL[version])
        assert "refused" not in daemon.output


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", REAL)
def test_a_name_with_the_other_family_only(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, kind: str, version: int
) -> None:
    other = REAL[10 - version]
    names.tell("other.example", other)
    with start_fake_ip():
        app = cgroup("app")
        check(ask(app, kind, version, "other.example", rounds=12), 12, other)
        (refused,) = ask(app, kind, version, "other.example", port=9)
        assert refused[3] == REFUSED[kind]


def test_the_next_address_where_one_does_not_answer(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, silent: str
) -> None:
    names.tell("two.example", silent, bed.REMOTE4)
    with start_fake_ip():
        check(ask(cgroup("app"), "tcp", 4, "two.example"), 1, bed.REMOTE4)


@pytest.mark.parametrize("name", SERVERS)
def test_tcp_through(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, tmp_path: Path, name: str
) -> None:
    """The app's own query is answered here, so who asks the name server is the upstream."""
    make, url = SERVERS[name]
    with (
        make(cgroup("upstream"), tmp_path),
        start_fake_ip(url.replace("CA", str(tmp_path / "cert.pem"))),
    ):
        for version in REAL:
            host = f"host{version}.example"
            names.tell(host, *REAL.values())
            ((_, fake_ip, _, *answer),) = ask(cgroup(f"app-{version}"), "tcp", version, host)
            assert is_fake_ip(fake_ip)
            assert answer[0] == "origin"
            assert answer[1] in REAL.values()
            names.wait_line(f"^{host} A$")


@pytest.mark.parametrize("name", ["dante", "sing-box-socks"])
@pytest.mark.parametrize("version", REAL)
def test_udp_through(
    start_fake_ip: Start,
    names: Nameserver,
    cgroup: bed.MakeCgroup,
    tmp_path: Path,
    name: str,
    version: int,
) -> None:
    names.tell("real4.example", bed.REMOTE4)  # dante carries no IPv6 datagrams here
    make, url = SERVERS[name]
    with make(cgroup("upstream"), tmp_path), start_fake_ip(url) as daemon:
        check(ask(cgroup("app"), "udp", version, "real4.example", rounds=12), 12, bed.REMOTE4)
        assert "real4.example A" in names.lines
        assert "lost" not in daemon.output


@pytest.mark.parametrize("upstream", ["direct://", f"socks5://{ADDRESS}"])
def test_two_names_of_one_address_are_told_apart(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, tmp_path: Path, upstream: str
) -> None:
    hosts = ["one.example", "two.example", bed.REMOTE4]
    for name in hosts[:2]:
        names.tell(name, bed.REMOTE4)
    with upstreams.sing_box(cgroup("upstream"), tmp_path, "socks"), start_fake_ip(upstream):
        answers = ask(cgroup("app"), "udp", 4, *hosts * 2, rounds=6)
        assert [answer[0] for answer in answers] == [host for host in hosts * 2 for _ in range(6)]
        assert len({answer[1] for answer in answers}) == 3
        for _, to, source, *answer in answers:
            assert (source, answer[1]) == (to, bed.REMOTE4)


def test_a_name_is_no_reason_for_another_port(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup
) -> None:
    """As STUN (RFC 8489) needs it, whose servers have names."""
    with start_fake_ip():
        answers = ask(cgroup("app"), "udp", 4, NAME, "192.0.2.99", NAME, rounds=6)
        assert len(answers) == 18
        assert len({answer[-1] for answer in answers}) == 1


@pytest.mark.parametrize("version", REAL)
def test_icmp_errors_are_about_the_fake_ip_address(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, version: int
) -> None:
    with start_fake_ip():
        (answer,) = ask(cgroup("app"), "udp", version, NAME, port=9)
        assert answer[3] == "ConnectionRefusedError"


def test_an_address_without_a_name_is_refused(start_fake_ip: Start, cgroup: bed.MakeCgroup) -> None:
    with start_fake_ip() as daemon:
        app = cgroup("app")
        for kind, error in REFUSED.items():
            for version, address in ((4, "198.19.200.1"), (6, "fc00::c8:1")):
                assert ask(app, kind, version, address) == [[address, address, address, error]]
        daemon.wait_line(
            r"refused, a fake-ip address stands for no name any more: 198\.19\.200\.1:80; the app"
        )


def test_the_old_workers_end_where_datagrams_were_refused(
    start_fake_ip: Start, cgroup: bed.MakeCgroup
) -> None:
    with start_fake_ip(workers={"count": 1, "udp-timeout": 1}) as daemon:
        (server,) = bed.run("pgrep", "-P", str(daemon.pid)).split()
        before = set(bed.run("pgrep", "-P", server).split())
        ask(cgroup("app"), "udp", 4, "198.19.200.1")
        daemon.reload(daemon.config.read_text())

        def ended() -> bool:
            return not before & set(bed.run("pgrep", "-P", server).split())

        bed.wait_until(ended, "the end of the old processes")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_name_that_nobody_knows_is_refused(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, kind: str
) -> None:
    with start_fake_ip() as daemon:
        ((_, fake_ip, *_, error),) = ask(cgroup("app"), kind, 4, "unknown.example")
        assert is_fake_ip(fake_ip)
        assert error == REFUSED[kind]
        daemon.wait_line(f"{kind} unknown.example:80 .{fake_ip}.: ")


def test_directly_where_the_upstream_is_down(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup
) -> None:
    with start_fake_ip("socks5://127.0.0.1:1", **{"on-down": "direct"}):
        check(ask(cgroup("app"), "tcp", 4, NAME), 1, bed.REMOTE4)


def test_a_catch_all_rule(start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup) -> None:
    with start_fake_ip(rules={".": "built-in"}):
        app = cgroup("app")
        for kind in ("tcp", "udp"):
            check(ask(app, kind, 4, NAME, rounds=2), 2, bed.REMOTE4)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_name_does_not_lead_to_this_computers_own_services(
    start_fake_ip: Start, names: Nameserver, cgroup: bed.MakeCgroup, kind: str
) -> None:
    names.tell("rebound.example", "127.0.0.1", "::1")
    with bed.Responder("local", PORT, cgroup=cgroup("local")), start_fake_ip() as daemon:
        app = cgroup("app")
        daemon.wait_line("/app: tproxy")
        (answer,) = ask(app, kind, 4, "rebound.example")
        assert is_fake_ip(answer[1])
        assert "local" not in answer
        assert answer[3] in (REFUSED[kind], "TimeoutError")
