"""The passwords of upstreams, from files or systemd credentials."""

from __future__ import annotations

import os
from pathlib import Path

from cgtproxy.config.model import Config, Tproxy, Upstream
from cgtproxy.errors import CgtproxyError, ExitCode


class SecretError(CgtproxyError):
    """A password cannot be read, or is not allowed."""

    exit_code = ExitCode.CONFIG


def with_secrets(config: Config) -> Config:
    """The configuration with all passwords. Raises SecretError."""
    return config._replace(tproxies=tuple(_with_secrets(tproxy) for tproxy in config.tproxies))


def _with_secrets(tproxy: Tproxy) -> Tproxy:
    if tproxy.server is None:
        return tproxy
    upstreams = tuple(_with_secret(upstream) for upstream in tproxy.server.upstreams)
    return tproxy._replace(server=tproxy.server._replace(upstreams=upstreams))


def _with_secret(upstream: Upstream) -> Upstream:
    path = upstream.password_file
    if upstream.password_credential:
        # systemd.exec(5), LoadCredential=
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            what = f"{upstream}: systemd has passed no credentials"
            raise SecretError(what, f"add LoadCredential={upstream.password_credential}:PATH")
        path = os.path.join(directory, upstream.password_credential)
    if not path:
        return upstream
    try:
        password = Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SecretError(f"{upstream}: cannot read its password from {path}: {reason}") from error
    if not 0 < len(password.encode()) < 256:
        raise SecretError(f"{upstream}: the password in {path} must have 1 to 255 bytes")
    return upstream._replace(password=password)
