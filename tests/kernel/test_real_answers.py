"""The built-in server's DNS: real addresses, of real servers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

import bed
from bed import dns, upstreams
from bed.built_in import Start
from bed.dns import addresses
from bed.nameserver import HOSTS, Nameserver


@pytest.mark.parametrize("way", ["direct", "socks", "https"])
@pytest.mark.parametrize("scheme", dns.PORTS)
def test_real_answers(
    start_dns: Start,
    cgroup: bed.MakeCgroup,
    tmp_path: Path,
    unbound: dns.Unbound,
    scheme: str,
    way: str,
) -> None:
    upstream, peer = "direct://", bed.HOST4
    with ExitStack() as stack:
        if way != "direct":
            home, directory = cgroup("upstream"), tmp_path / way
            directory.mkdir()
            if way == "https":
                cert, key = upstreams.certificate(directory)
                tls = {"enabled": True, "certificate_path": str(cert), "key_path": str(key)}
                proxy = upstreams.sing_box(home, directory, "http", tls=tls)
                upstream = f"https://127.0.0.1:{upstreams.PORT}?ca-file={cert}"
            else:
                proxy = upstreams.sing_box(home, directory, "socks")
                upstream = f"socks5://127.0.0.1:{upstreams.PORT}"
            stack.enter_context(proxy)
            peer = bed.PROXY4
        options = {"upstream": dns.url(scheme), "exclude-upstream": dns.url("udp")}
        trust = {"SSL_CERT_FILE": str(unbound.certificate)}
        daemon = stack.enter_context(start_dns(options, upstream, env=trust))
        app = cgroup("app")
        for _ in range(2):  # the second time on the same connection, if there is one
            assert dns.dig(app, "real.example", "MX").found == ["10 mail.example."]
        assert dns.dig(app, "no.example", "MX").status == "NXDOMAIN"
        cut = dns.dig(app, "+ignore", "big.example", "TXT")
        assert ("tc" in cut.flags, cut.found) == (True, [])
        assert len(dns.dig(app, "+tcp", "big.example", "TXT").found) == dns.BIG
        assert len(dns.dig(app, "big.example", "TXT").found) == dns.BIG
        assert set(unbound.asked("real.example")) == {peer}
        assert addresses(app, ["one.lan"]) == [[dns.REAL4]]
        assert unbound.asked("one.lan") == [bed.HOST4]
        assert "WARNING" not in daemon.output


def test_forwarding_alone(start_dns: Start, cgroup: bed.MakeCgroup, unbound: dns.Unbound) -> None:
    with start_dns({"mode": "forward", "upstream": dns.url("udp")}):
        app = cgroup("app")
        for kind, found in (("A", dns.REAL4), ("AAAA", dns.REAL6)):
            assert dns.dig(app, "real.example", kind).found == [found]


def test_the_next_server_is_asked_where_one_fails(
    start_dns: Start, cgroup: bed.MakeCgroup, unbound: dns.Unbound
) -> None:
    dead = f"tcp://{dns.ADDRESS}:9"
    with start_dns(
        {"mode": "forward", "upstream": [dead, dns.url("tls"), dns.url("udp")]}
    ) as daemon:
        assert addresses(cgroup("app"), ["real.example"]) == [[dns.REAL4]]
        daemon.wait_line(f"the DNS server {dead} failed: Connection refused")
        daemon.wait_line(f"the DNS server {dns.url('tls')} failed: self-signed certificate")


def test_no_server_answers(start_dns: Start, cgroup: bed.MakeCgroup) -> None:
    options = {"mode": "forward", "upstream": f"https://{dns.ADDRESS}:9/"}
    with start_dns(options) as daemon:
        assert dns.dig(cgroup("app"), "real.example").status == "SERVFAIL"
        daemon.wait_line("the DNS server .* failed: Connection refused")


def test_the_computers_own_server_and_hosts_file(start_dns: Start, cgroup: bed.MakeCgroup) -> None:
    """The server is one on this computer, whose own questions would be redirected, too."""
    before = HOSTS.read_text()
    with (
        Nameserver(cgroup("nameserver")) as nameserver,
        start_dns({"mode": "forward"}, rules={".": "built-in"}),
    ):
        nameserver.tell("real.example", dns.REAL4)
        app = cgroup("app")
        assert addresses(app, ["real.example"]) == [[dns.REAL4]]
        HOSTS.write_text(f"{before}\n192.0.2.9 own.example\n")
        assert addresses(app, ["own.example"]) == [["192.0.2.9"]]
        assert dns.dig(app, "-x", "192.0.2.9").found == ["own.example."]
        HOSTS.write_text(before)
