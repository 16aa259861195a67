"""A web server out in the world, and the clients that talk to it; all bytes are checked."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .cgroup import Cgroup
from .kernel import run
from .network import ORIGIN4, ORIGIN6, OUTSIDE
from .program import Program
from .waiting import wait_until

PROGRAMS = Path(__file__).parent / "programs"
PLAIN, TLS = 8080, 8443  # ports; HTTP/3 is on the UDP port 8443
TIMEOUT = 120.0  # seconds


class WebServer(Program):
    """programs/web.py at ORIGIN4, ORIGIN6 and `names`, vouched for by the file `authority`."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.authority, key = directory / "authority.pem", directory / "authority.key"
        mine = directory / "web.pem", directory / "web.key"
        _certificate(self.authority, key, "/CN=the authority")
        alternatives = [f"IP:{ORIGIN4}", f"IP:{ORIGIN6}", *(f"DNS:{name}" for name in names)]
        _certificate(
            *mine,
            "/CN=web",
            *("-addext", f"subjectAltName={','.join(alternatives)}"),
            *("-CA", str(self.authority), "-CAkey", str(key)),
        )
        ports = map(str, (PLAIN, TLS))
        argv = [sys.executable, str(PROGRAMS / "web.py"), *ports, *map(str, mine)]
        super().__init__([*OUTSIDE, *argv])

    def start(self) -> WebServer:
        super().start()
        wait_until(self._listens, "the web server")
        return self

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((ORIGIN4, TLS)) == 0


def _certificate(certificate: Path, key: Path, subject: str, *options: str) -> None:
    new = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    run("openssl", "req", *new, "-subj", subject, *files, *options)


def content(size: int) -> bytes:
    """What the server gives for /SIZE."""
    return hashlib.shake_256(str(size).encode()).digest(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def url(scheme: str = "https", host: str = ORIGIN4) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{TLS if scheme == 'https' else PLAIN}"


def output(cgroup: Cgroup, argv: Sequence[str]) -> str:
    """What a program writes that succeeds, run in `cgroup`."""
    process = cgroup.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    told, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, f"{argv}: exit code {process.returncode}: {told[-2000:]}"
    return str(told)


class Fetching:
    """curl, fetching objects of these sizes from `where`, so many at a time; see `check`.

    One process, so it keeps its connections alive and uses them again.
    """

    def __init__(
        self,
        cgroup: Cgroup,
        directory: Path,
        where: str,
        sizes: Sequence[int],
        *options: str,
        at_once: int = 20,
    ) -> None:
        directory.mkdir()
        self._files = {directory / str(number): size for number, size in enumerate(sizes)}
        each = (f"url = {where}/{size}\noutput = {file}\n" for file, size in self._files.items())
        config = directory / "curl.config"
        config.write_text("".join(each))
        parallel = ["--parallel", "--parallel-max", str(at_once)]
        quiet = ["--silent", "--show-error", "--no-progress-meter", "--fail"]
        argv = ["curl", "--disable", *quiet, *parallel, *options, "--config", str(config)]
        self._process = cgroup.spawn(argv, stderr=subprocess.PIPE, text=True)

    def check(self) -> None:
        """Wait for the end, and compare what has arrived."""
        _, told = self._process.communicate(timeout=TIMEOUT)
        assert self._process.returncode == 0, told[-2000:]
        for file, size in self._files.items():
            assert digest(file.read_bytes()) == digest(content(size)), (file.name, size)


def http3(cgroup: Cgroup, server: WebServer, where: str, requests: Iterable[str]) -> list[str]:
    """GET:SIZE and PUT:SIZE over HTTP/3; for each the digest of the answer."""
    argv = [sys.executable, str(PROGRAMS / "http3.py"), where, str(server.authority), *requests]
    return output(cgroup, argv).splitlines()
