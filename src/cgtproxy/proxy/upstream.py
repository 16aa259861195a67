"""The upstreams of a TPROXY: which one is taken, and which ones are known to be down."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cgtproxy.config.model import Config, Server, Tproxy, Upstream
from cgtproxy.errors import CgtproxyError, ExitCode

DIRECT = Upstream("direct")


class SecretError(CgtproxyError):
    exit_code = ExitCode.CONFIG


class Target(NamedTuple):
    """An address of an upstream, as connect(2) takes it."""

    family: int
    address: tuple[Any, ...]


def remote(config: Config) -> list[Upstream]:
    """The different upstreams that are somewhere else."""
    servers = [tproxy.server for tproxy in config.tproxies if tproxy.server]
    return list(dict.fromkeys(u for server in servers for u in server.upstreams if u.host))


def with_secrets(config: Config) -> Config:
    """The configuration with all passwords. Raises SecretError."""
    return replace(config, tproxies=tuple(_with_secrets(tproxy) for tproxy in config.tproxies))


def _with_secrets(tproxy: Tproxy) -> Tproxy:
    if tproxy.server is None:
        return tproxy
    upstreams = tuple(_with_secret(upstream) for upstream in tproxy.server.upstreams)
    return replace(tproxy, server=replace(tproxy.server, upstreams=upstreams))


def _with_secret(upstream: Upstream) -> Upstream:
    path = upstream.password_file
    if upstream.password_credential:
        # systemd.exec(5), LoadCredential=
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            what = f"{upstream}: systemd has given no credentials"
            raise SecretError(what, f"add LoadCredential={upstream.password_credential}:PATH")
        path = os.path.join(directory, upstream.password_credential)
    if not path:
        return upstream
    try:
        password = Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SecretError(f"{upstream}: its password is not in {path}: {reason}") from error
    if not 0 < len(password.encode()) < 256:
        raise SecretError(f"{upstream}: the password in {path} must have 1 to 255 bytes")
    return replace(upstream, password=password)


class Health:
    """One byte for each upstream in memory that all processes of the server share.

    One that is not checked stays down once a connection by it has failed.
    """

    def __init__(self, upstreams: Iterable[Upstream]) -> None:
        self._places: Mapping[Upstream, int] = {u: n for n, u in enumerate(upstreams)}
        self._down = mmap.mmap(-1, max(1, len(self._places)))

    def is_up(self, upstream: Upstream) -> bool:
        place = self._places.get(upstream)
        return place is None or not self._down[place]

    def tell(self, upstream: Upstream, *, up: bool) -> bool:
        """Whether that is news."""
        news = self.is_up(upstream) is not up
        self._down[self._places[upstream]] = not up
        return news


class Choice:
    """Which upstreams of `server` to try, in order."""

    def __init__(self, server: Server, health: Health) -> None:
        self._server = server
        self._health = health
        self._turn = 0
        self.always = server.upstreams[0] if len(server.upstreams) == 1 else None
        if self.always and self.always.host:
            self.always = None

    def candidates(self) -> list[Upstream]:
        upstreams = list(self._server.upstreams)
        direct = self._server.on_down == "direct"
        if len(upstreams) == 1 and not direct:  # then there is no choice
            return upstreams
        if self._server.select == "round-robin":
            self._turn = (self._turn + 1) % len(upstreams)
            upstreams = upstreams[self._turn :] + upstreams[: self._turn]
        checked = self._server.health_check  # else nothing would tell that one works again
        up = [upstream for upstream in upstreams if not checked or self._health.is_up(upstream)]
        if direct:
            return [*up, DIRECT]
        return up or upstreams  # the checks may be late, and nothing is leaked by trying

    def failed(self, upstream: Upstream) -> None:
        """Spare others the attempt, until the next check."""
        self._health.tell(upstream, up=False)
