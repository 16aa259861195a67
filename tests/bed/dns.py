"""Asking DNS servers by dig(1), and unbound, one that people use, in the outside world."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .built_in import NAMES
from .cgroup import Cgroup
from .network import OUTSIDE
from .program import Program
from .upstreams import certificate
from .waiting import TIMEOUT

RESOLVERS = "8.8.8.8", "2001:4860:4860::8888"  # nobody is there, or anywhere else out there
AT = ("127.0.0.1", 1053)  # of the built-in DNS server
ADDRESS = "192.0.2.53"
PORTS = {"udp": 5300, "tcp": 5300, "tls": 5853, "https": 5443}
REAL4, REAL6 = "203.0.113.77", "2001:db8:77::77"
BIG = 40  # records, far more than a datagram holds


class Answer(NamedTuple):
    """`status` is "" if there was none; `found` is each record's data."""

    status: str
    found: list[str]
    flags: list[str]


def dig(cgroup: Cgroup, *arguments: str, server: str = RESOLVERS[0], port: int = 53) -> Answer:
    """Ask once, from the cgroup."""
    command = ["dig", "+noall", "+comments", "+answer", "+tries=1", f"+time={TIMEOUT:g}"]
    process = cgroup.spawn(
        [*command, f"@{server}", "-p", str(port), *arguments], stdout=subprocess.PIPE, text=True
    )
    told, _ = process.communicate(timeout=2 * TIMEOUT)
    status = re.search(r"status: (\w+)", told)
    flags = re.search(r"^;; flags: ([a-z ]*);", told, re.MULTILINE)
    records = [line for line in told.splitlines() if line and not line.startswith(";")]
    return Answer(
        status[1] if status else "",
        [record.split(maxsplit=4)[4] for record in records],
        flags[1].split() if flags else [],
    )


def addresses(cgroup: Cgroup, names: Sequence[str] = NAMES) -> list[list[str]]:
    """What each of these names has, asked from the cgroup."""
    return [dig(cgroup, name).found for name in names]


def query(number: int, name: bytes = b"www0") -> bytes:
    """A query for the A records of NAME.example, with this id."""
    header = number.to_bytes(2, "big") + bytes.fromhex("0100 0001 0000 0000 0000")
    return header + bytes((len(name),)) + name + b"\7example\0\0\1\0\1"


def url(scheme: str) -> str:
    return f"{scheme}://{ADDRESS}:{PORTS[scheme]}"


class Unbound(Program):
    """It knows real.example, big.example and one.lan, and logs who asks it."""

    def __init__(self, directory: Path) -> None:
        self.certificate, key = certificate(directory, ADDRESS)
        file = directory / "unbound.conf"
        interfaces = {f"interface: {ADDRESS}@{port}" for port in PORTS.values()}
        big = [f"""local-data: 'big.example. TXT "{n:0200}"'""" for n in range(BIG)]
        options = [
            *(*sorted(interfaces), "ip-transparent: yes", "access-control: 0.0.0.0/0 allow"),
            *(f"tls-port: {PORTS['tls']}", f"https-port: {PORTS['https']}"),
            *(f"tls-service-key: {key}", f"tls-service-pem: {self.certificate}"),
            *("use-syslog: no", "logfile: ''", "log-queries: yes", "verbosity: 1"),
            *("username: ''", "chroot: ''", "pidfile: ''", f"directory: {directory}"),
            *("module-config: 'iterator'", "do-not-query-localhost: no", "num-threads: 1"),
            *("local-zone: 'example.' static", "local-zone: 'lan.' static"),
            f"local-data: 'real.example. A {REAL4}'",
            f"local-data: 'real.example. AAAA {REAL6}'",
            "local-data: 'real.example. MX 10 mail.example.'",
            f"local-data: 'one.lan. A {REAL4}'",
            *big,
        ]
        file.write_text("server:\n" + "".join(f"  {option}\n" for option in options))
        super().__init__([*OUTSIDE, "unbound", "-d", "-c", str(file)])

    def start(self) -> Unbound:
        super().start()
        self.wait_line("start of service")
        return self

    def asked(self, name: str) -> list[str]:
        """The addresses from which somebody has asked it for that name."""
        return re.findall(rf"info: ([0-9.]+) {re.escape(name)}\. ", self.output)
