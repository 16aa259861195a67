"""URLs of DNS servers: `udp://host:port`, `https://host/path` and the like (RFC 3986)."""

from __future__ import annotations

from typing import Literal, cast

from cgtproxy.config.model import SYSTEM, DnsUpstream
from cgtproxy.config.url import read_host, read_port, split

# RFC 7858 (TLS) and RFC 8484 (HTTPS), whose examples have this path, as most servers do.
_PORTS = {"udp": 53, "tcp": 53, "tls": 853, "https": 443}
_PATH = "/dns-query"


def parse_dns_upstream(text: str) -> DnsUpstream:
    """Raises ValueError, whose text completes "is not a DNS server's URL"."""
    url, port = split(text)
    if url.scheme == "system":
        if text.lower() != "system://":
            raise ValueError("system:// stands alone")
        return SYSTEM
    if url.scheme not in _PORTS:
        raise ValueError("the scheme is not known")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError("it has no user, no options (`?`) and no fragment (`#`)")
    https = url.scheme == "https"
    if url.path not in ("", "/") and not https:
        raise ValueError("nothing may follow the port but https://'s path")
    return DnsUpstream(
        cast(Literal["udp", "tcp", "tls", "https"], url.scheme),
        read_host(url),
        _PORTS[url.scheme] if port is None else read_port(port),
        (url.path or _PATH) if https else "",
    )
