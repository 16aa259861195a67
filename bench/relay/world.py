"""One candidate's own world: a host with the server and its clients, and an origin outside."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import bed
from served import Served

from .candidates import MARK, OWN_MARK, PORT, SOCKS_SERVERS, Candidate

LOAD = str(Path(__file__).parent / "load.py")
CLIENTS = "clients"
RULES = f"""
table inet bench {{
    chain output {{
        type route hook output priority mangle
        meta mark {OWN_MARK} return
        ct direction reply return
        ip daddr 10.0.0.0/8 socket cgroupv2 level 1 "{CLIENTS}" meta mark set {MARK}
    }}
    chain prerouting {{
        type filter hook prerouting priority mangle
        iif lo meta mark {MARK} meta l4proto {{ tcp, udp }} tproxy to :{PORT} accept
    }}
}}
"""


class World:
    """Without `candidate` there is no server at all. It goes through the SOCKS5 server `socks`,
    if one is given."""

    def __init__(
        self, number: int, name: str, candidate: Candidate | None, socks: str | None
    ) -> None:
        self.name = name
        self.socks = socks
        self.host, self.outside = f"host{number}", f"out{number}"
        self.origin = f"10.{number}.0.2"
        self._directory = tempfile.TemporaryDirectory()
        self._running: list[subprocess.Popen[Any]] = []
        self._build(number)
        self.start(self.outside, [sys.executable, "-IS", LOAD, "origin"])
        self.start(self.outside, ["iperf3", "-s"])
        if socks:
            self.start(self.host, SOCKS_SERVERS[socks](Path(self._directory.name)))
        self.served: Served | None = None
        if candidate:
            self._load_rules()
            argv = candidate(Path(self._directory.name), bool(socks))
            self.served = Served(self.start(self.host, argv).pid)
        bed.wait_until(self._answers, f"{self.name} to serve", timeout=20)

    def _build(self, number: int) -> None:
        for namespace in (self.host, self.outside):
            bed.run("ip", "netns", "add", namespace)
            bed.run("ip", "-n", namespace, "link", "set", "lo", "up")
        peer = ("peer", "name", "veth", "netns", self.outside)
        bed.run("ip", "-n", self.host, "link", "add", "veth", "type", "veth", *peer)
        for namespace, last in ((self.host, 1), (self.outside, 2)):
            address = f"10.{number}.0.{last}/24"
            bed.run("ip", "-n", namespace, "address", "add", address, "dev", "veth")
            bed.run("ip", "-n", namespace, "link", "set", "veth", "up")
            # TIME_WAIT would else use up the client's ports.
            bed.run(*self._in(namespace), "sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=200")

    def _load_rules(self) -> None:
        bed.run(*self._in(self.host), "nft", "-f", "-", stdin=RULES)
        inside = ("ip", "-n", self.host)
        bed.run(*inside, "rule", "add", "fwmark", str(MARK), "lookup", "300")
        bed.run(*inside, "route", "add", "local", "default", "dev", "lo", "table", "300")

    @staticmethod
    def _in(namespace: str) -> Sequence[str]:
        return ["nsenter", f"--net=/run/netns/{namespace}", "--"]

    def start(self, namespace: str, argv: Sequence[str]) -> subprocess.Popen[Any]:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([*self._in(namespace), *argv], stdout=quiet, stderr=quiet)
        self._running.append(process)
        return process

    def _answers(self) -> bool:
        try:
            return "p50" in self.load("rtt", 0.05)
        except (ValueError, subprocess.SubprocessError):
            return False

    def client(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """A program whose traffic goes to the server."""
        cgroup = bed.Cgroup(CLIENTS)
        return cgroup.spawn([*self._in(self.host), *argv], text=True, **options)

    def load(self, what: str, seconds: float, number: int = 1) -> dict[str, Any]:
        """What it prints, and with a rate the server's CPU time for one of what is counted, µs."""
        argv = [sys.executable, "-IS", LOAD, what, self.origin, str(seconds), str(number)]
        before = self.cpu()
        with self.client(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            output, _ = process.communicate(timeout=seconds + 20)
        result = dict(json.loads(output))
        if rate := result.get("rate"):
            result["cost"] = (self.cpu() - before) / (rate * seconds) * 1e6
        return result

    def iperf(self, seconds: float, streams: int, *, down: bool) -> tuple[float, float]:
        """Gbit/s, and the server's CPU seconds a gigabyte."""
        options = ["-R"] if down else []
        argv = ["iperf3", "-J", "-c", self.origin, "-t", str(seconds), "-P", str(streams), *options]
        before = self.cpu()
        with self.client(argv, stdout=subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=seconds + 30)
        spent = self.cpu() - before
        received = json.loads(output)["end"]["sum_received"]
        return received["bits_per_second"] / 1e9, spent / (received["bytes"] / 1e9)

    def cpu(self) -> float:
        return self.served.cpu() if self.served else 0.0

    def memory_with_idle(self, number: int) -> float:
        argv = [sys.executable, "-IS", LOAD, "idle", self.origin, "0", str(number)]
        pipe = subprocess.PIPE
        with self.client(argv, stdin=pipe, stdout=pipe) as process:
            assert process.stdout
            process.stdout.readline()
            used = self.served.memory() if self.served else 0.0
            process.communicate()
        return used

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()
        time.sleep(0.1)
        for namespace in (self.host, self.outside):
            bed.run("ip", "netns", "delete", namespace)
        self._directory.cleanup()
