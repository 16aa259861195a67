"""The built-in server's DNS: made-up addresses, and real ones of real servers."""

from __future__ import annotations

import os
import random
import signal
import socket
from contextlib import ExitStack, suppress
from ipaddress import ip_address, ip_network

import pytest

import bed
from bed import dns, upstreams
from bed.nameserver import HOSTS, Nameserver
from kernel.test_proxy import config

FAKE4, FAKE6 = ip_network("198.18.0.0/15"), ip_network("fc00::/18")
AT = ("127.0.0.1", 1053)
NAMES = [f"www{n}.example" for n in range(20)]


@pytest.fixture
def start(tmp_path):
    """The daemon with a built-in server that has these options of DNS."""

    def started(options=None, upstream="direct://", *, env=None, rules=None, **keys):
        text = config(upstream, rules, dns=options or {})
        return bed.Daemon(text, env={"STATE_DIRECTORY": str(tmp_path), **(env or {})}, **keys)

    return started


@pytest.fixture
def unbound(tmp_path):
    with dns.Unbound(tmp_path) as server:
        yield server


def addresses(app, names=NAMES):
    return [dns.dig(app, name).found for name in names]


def resolver(daemon):
    """The one of its processes that has opened the pool's file."""
    (server,) = bed.run("pgrep", "-P", str(daemon.pid)).split()
    children = bed.run("pgrep", "-P", server).split()
    (pid,) = (pid for pid in children if "fake-ip.db" in bed.run("ls", "-l", f"/proc/{pid}/fd"))
    return int(pid)


@pytest.mark.parametrize("server", dns.RESOLVERS)
@pytest.mark.parametrize("protocol", ["+notcp", "+tcp"])
def test_queries_are_hijacked_and_answered(start, cgroup, server, protocol):
    with start():
        app = cgroup("app")
        (host,) = dns.dig(app, protocol, "www.example", "A", server=server).found
        (host6,) = dns.dig(app, protocol, "www.example", "AAAA", server=server).found
        assert ip_address(host) in FAKE4
        assert ip_address(host6) in FAKE6
        for address in (host, host6):
            assert dns.dig(app, protocol, "-x", address, server=server).found == ["www.example."]
        assert addresses(app, ["WWW.Example"]) == [[host]]
        assert addresses(app, ["other.example"]) != [[host]]
        hints = dns.dig(app, protocol, "www.example", "HTTPS", server=server)
        assert (hints.status, hints.found) == ("NOERROR", [])


def test_others_are_not_served_by_it(start, cgroup, unbound):
    with start():
        there = {"server": dns.ADDRESS, "port": dns.PORTS["udp"]}
        assert dns.dig(cgroup("other"), "real.example", **there).found == [dns.REAL4]


@pytest.mark.parametrize("way", ["direct", "socks", "https"])
@pytest.mark.parametrize("scheme", dns.PORTS)
def test_real_answers(start, cgroup, tmp_path, unbound, scheme, way):
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
        daemon = stack.enter_context(start(options, upstream, env=trust))
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


def test_forwarding_alone(start, cgroup, unbound):
    with start({"mode": "forward", "upstream": dns.url("udp")}):
        app = cgroup("app")
        for kind, found in (("A", dns.REAL4), ("AAAA", dns.REAL6)):
            assert dns.dig(app, "real.example", kind).found == [found]


def test_the_next_server_is_asked_where_one_fails(start, cgroup, unbound):
    dead = f"tcp://{dns.ADDRESS}:9"
    with start({"mode": "forward", "upstream": [dead, dns.url("tls"), dns.url("udp")]}) as daemon:
        assert addresses(cgroup("app"), ["real.example"]) == [[dns.REAL4]]
        daemon.wait_line(f"the DNS server {dead} failed: Connection refused")
        daemon.wait_line(f"the DNS server {dns.url('tls')} failed: self-signed certificate")


def test_no_server_answers(start, cgroup):
    options = {"mode": "forward", "upstream": f"https://{dns.ADDRESS}:9/"}
    with start(options) as daemon:
        assert dns.dig(cgroup("app"), "real.example").status == "SERVFAIL"
        daemon.wait_line("the DNS server .* failed: Connection refused")


def test_the_computers_own_server_and_hosts_file(start, cgroup):
    """The server is one on this computer, whose own questions would be redirected, too."""
    before = HOSTS.read_text()
    with (
        Nameserver(cgroup("nameserver")) as nameserver,
        start({"mode": "forward"}, rules={".": "built-in"}),
    ):
        nameserver.tell("real.example", dns.REAL4)
        app = cgroup("app")
        assert addresses(app, ["real.example"]) == [[dns.REAL4]]
        HOSTS.write_text(f"{before}\n192.0.2.9 own.example\n")
        assert addresses(app, ["own.example"]) == [["192.0.2.9"]]
        assert dns.dig(app, "-x", "192.0.2.9").found == ["own.example."]
        HOSTS.write_text(before)


def test_a_killed_resolver_costs_no_name(start, cgroup):
    with start() as daemon:
        app = cgroup("app")
        before = addresses(app)
        for _ in range(3):
            os.kill(resolver(daemon), signal.SIGKILL)
            assert addresses(app) == before
        daemon.wait_line(r"the resolver \d+ ended \(SIGKILL\), starting another")
        assert addresses(app, ["new.example"])[0] not in before


@pytest.mark.parametrize("end", [bed.Daemon.stop, lambda daemon: daemon.cgroup.kill()])
def test_names_survive_a_restart(start, cgroup, tmp_path, end):
    app = cgroup("app")
    with start(cgroup=cgroup("daemon")) as daemon:
        before = addresses(app)
        written = tmp_path / "fake-ip.db-wal"
        bed.wait_until(lambda: NAMES[-1].encode() in written.read_bytes(), "the file")
        end(daemon)
    with start():
        assert addresses(app, NAMES[::-1])[::-1] == before


def test_told_to_end_more_than_once_it_still_writes_all_names(start, cgroup):
    """As by a terminal or a service manager, and then by the supervisor."""
    with start() as daemon:
        addresses(cgroup("app"))
        pid = resolver(daemon)
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, signal.SIGTERM)
        daemon.wait_line(rf"the resolver {pid} ended \(exit code 0\)")


def test_a_reload_costs_no_name_and_no_query(start, cgroup):
    with start() as daemon:
        app = cgroup("app")
        before = addresses(app)
        first = resolver(daemon)
        for ttl in range(5):
            daemon.reload(config(dns={"ttl": ttl}))
            assert addresses(app) == before  # dig asks once, and waits
        bed.wait_until(lambda: resolver(daemon) != first, "another resolver")
        assert "starting another" not in daemon.output


def test_a_reload_that_fails_changes_nothing(start, cgroup):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken,
        start(program=("-m", "cgtproxy", "proxy")) as server,
    ):
        at = {"server": AT[0], "port": AT[1]}
        before = dns.dig(cgroup("app"), "www.example", **at).found
        taken.bind(("127.0.0.1", 1054))
        server.reload(config(dns={"listen": ["127.0.0.1:1055", "127.0.0.1:1054"]}))
        server.wait_line("127.0.0.1:1054 cannot be listened on: Address already in use")
        assert dns.dig(cgroup("other"), "www.example", **at).found == before


def test_another_server_at_the_port(start):
    with socket.create_server(AT), start() as daemon:
        daemon.wait_line("127.0.0.1:1053 cannot be listened on: Address already in use")


def test_nonsense_is_answered_or_not_but_never_fatal(start, cgroup):
    noise = random.Random(0)
    with start() as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        app = cgroup("app")
        before, process = addresses(app), resolver(daemon)
        for size in (*range(60), 500, 4096, 9000, 65507):
            for _ in range(20):
                sock.sendto(noise.randbytes(size), AT)
            with socket.create_connection(AT) as stream:
                stream.sendall(noise.randbytes(size))
        assert addresses(app) == before
        assert dns.dig(app, "+tcp", NAMES[0]).found == before[0]
        assert resolver(daemon) == process
        assert "ERROR" not in daemon.output


def query(number, name=b"www0"):
    header = number.to_bytes(2, "big") + bytes.fromhex("0100 0001 0000 0000 0000")
    return header + bytes((len(name),)) + name + b"\7example\0\0\1\0\1"


def test_many_questions_on_one_connection_in_small_pieces(start, cgroup):
    with start(), socket.create_connection(AT) as stream:
        asked = b"".join(b"\0\x1e" + query(number) for number in range(300))
        for start_ in range(0, len(asked), 7):
            stream.send(asked[start_ : start_ + 7])
        stream.shutdown(socket.SHUT_WR)
        answers = stream.makefile("rb").read()
        seen = set()
        while answers:
            size = int.from_bytes(answers[:2], "big")
            seen.add(int.from_bytes(answers[2:4], "big"))
            answers = answers[2 + size :]
        assert seen == set(range(300))


@pytest.mark.parametrize(
    ("descriptors", "told"),
    [(4096, "DNS over TCP is refused"), (100, "the resolver has a problem: .*Too many open files")],
)
def test_more_connections_than_it_takes(start, cgroup, descriptors, told):
    limit = ("prlimit", f"--nofile={descriptors}:{descriptors}")
    options = {"mode": "fake-ip", "upstream": f"udp://{dns.ADDRESS}:9"}
    with start(options, wrapper=limit) as daemon, ExitStack() as crowd:
        app = cgroup("app")
        for _ in range(600):
            crowd.enter_context(socket.create_connection(AT))
        daemon.wait_line(told)
        assert addresses(app) == addresses(app)
        assert dns.dig(app, "real.example", "MX").status == "SERVFAIL"
        crowd.close()
        bed.wait_until(lambda: dns.dig(app, "+tcp", NAMES[0]).found, "an answer over TCP")
        assert "ERROR" not in daemon.output


def test_answers_come_from_the_address_that_was_asked(start, cgroup):
    with start({"listen": ["0.0.0.0:1053", "[::]:1053"]}):
        for server in ("127.0.0.9", bed.HOST4, bed.PROXY4, "::1", bed.HOST6, bed.PROXY6):
            assert dns.dig(cgroup("other" + server), "a.example", server=server, port=1053).found
