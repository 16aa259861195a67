"""Upstream URLs: `socks5://user:pass@host:port` and the like (RFC 3986)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cgtproxy.config.model import Upstream
from cgtproxy.config.schemes import SCHEMES

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_LONGEST = 255  # bytes of a user name or password (RFC 1929), and of a host name
_SECRETS = ("password-file", "password-credential")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\.?")


def parse_upstream(text: str) -> Upstream:
    """Raises ValueError, whose text has none of the URL's secrets."""
    from urllib.parse import unquote

    url, port = split(text)
    if url.path not in ("", "/") or url.fragment:
        raise ValueError("nothing may follow the port but options (`?`)")
    if not (scheme := SCHEMES.get(url.scheme)):
        raise ValueError("the scheme is not known")
    if not scheme.remote:
        if text.lower() != f"{scheme}://":
            raise ValueError(f"{scheme}:// stands alone")
        return Upstream(scheme)
    user, password = (unquote(s or "", errors="strict") for s in (url.username, url.password))
    options = _options(url.query, bool(password), tls=scheme.tls)
    if (password and not user) or any(len(s.encode()) > _LONGEST for s in (user, password)):
        raise ValueError("the user and the password have 1 to 255 bytes each")
    return Upstream(
        scheme,
        read_host(url),
        scheme.port if port is None else read_port(port),
        user,
        password,
        **options,
    )


def split(text: str) -> tuple[SplitResult, int | None]:
    """A URL and its port. Raises ValueError."""
    from urllib.parse import urlsplit

    if not text.isprintable() or " " in text:
        raise ValueError("spaces and control characters must be percent-encoded")
    try:
        url = urlsplit(text)
        return url, url.port
    except ValueError:
        raise ValueError("the host or port is malformed") from None


def read_port(number: int) -> int:
    """The port that a URL has. Raises ValueError for 0."""
    if not number:
        raise ValueError("port 0 is no port")
    return number


def read_host(url: SplitResult) -> str:
    """A name, or an address in its short form. Raises ValueError."""
    from ipaddress import ip_address

    host = url.hostname or ""
    try:
        return str(ip_address(host))
    except ValueError:
        if "[" in url.netloc or not _HOST.fullmatch(host):
            raise ValueError("the host is no name and no address") from None
    return host


def _options(query: str, has_password: bool, *, tls: bool) -> dict[str, str]:
    from urllib.parse import parse_qsl

    options: dict[str, str] = {}
    allowed = (*_SECRETS, "ca-file") if tls else _SECRETS
    pairs = parse_qsl(query, keep_blank_values=True, errors="strict") if query else []
    for name, value in pairs:
        if name not in allowed or name in options or not value:
            raise ValueError(f"its options are {', '.join(allowed)}, each once, with a value")
        options[name] = value
    if has_password + sum(name in options for name in _SECRETS) > 1:
        raise ValueError("there is more than one password")
    if "/" in options.get("password-credential", ""):
        raise ValueError("a credential's name has no slash")
    return {name.replace("-", "_"): value for name, value in options.items()}
