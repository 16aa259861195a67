"""What this computer is told of names: resolv.conf(5) and hosts(5), read again when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from cgtproxy.proxy.io.addresses import is_address

T = TypeVar("T")

RESOLV_CONF = Path("/etc/resolv.conf")
# The servers that systemd-resolved asks. If we asked its stub, its queries might come back to us.
UPLINK_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
HOSTS = Path("/etc/hosts")
_RESOLVED = {"127.0.0.53", "127.0.0.54"}
_LOOPBACK = ["127.0.0.1", "::1"]


def servers() -> list[str]:
    """The addresses of the DNS servers, at least one; one of IPv6 perhaps with its zone."""
    found = _resolv_conf.read()
    if found and _RESOLVED.issuperset(found):
        found = _uplink_resolv_conf.read() or found
    return list(found) or ["127.0.0.1"]  # as resolv.conf(5) has it


def candidates(name: str) -> list[str]:
    """The names to look up for `name`, in order: a single label is tried in the search domains."""
    if "." in name or hosts(name):
        return [name]
    return [*(f"{name}.{domain}" for domain in _domains.read()), name]


def hosts(name: str) -> list[str]:
    """The addresses that hosts(5) has for a name; none if it is not there."""
    name = name.lower().rstrip(".")
    found = _hosts.read().get(name, [])
    # RFC 6761, section 6.3
    return list(found) or (_LOOPBACK if name == "localhost" else [])


def names(address: str) -> list[str]:
    """The names that hosts(5) has for an address."""
    return [name for name, addresses in _hosts.read().items() if address in addresses]


def parse_servers(text: str) -> list[str]:
    """The addresses of the `nameserver` lines of a resolv.conf(5)."""
    lines = (line.split() for line in text.splitlines())
    named = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    return [word for word in named if is_address(word)]


def parse_domains(text: str) -> list[str]:
    """The search domains of a resolv.conf(5): the last `search` or `domain` line counts."""
    lines = (line.split() for line in text.splitlines())
    lists = [words[1:] for words in lines if words[:1] in (["search"], ["domain"])]
    return [domain.rstrip(".") for domain in lists[-1] if domain != "."] if lists else []


def parse_hosts(text: str) -> dict[str, list[str]]:
    """Addresses by name, in lower case, of a hosts(5)."""
    found: dict[str, list[str]] = {}
    for address, name in _entries(text):
        addresses = found.setdefault(name, [])
        if address not in addresses:
            addresses.append(address)
    return found


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or ("",)
        if is_address(address):
            for name in names:
                yield address, name.lower().rstrip(".")


class _File(Generic[T]):
    """A file's content, parsed again when it has changed; an unreadable file is an empty one."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._version: tuple[int, ...] | None = None
        self._content = parse("")

    def read(self) -> T:
        try:
            stat = self._path.stat()
            version = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if version != self._version:
                self._content = self._parse(self._path.read_text(errors="replace"))
                self._version = version
        except OSError:
            self._content, self._version = self._parse(""), None
        return self._content


_resolv_conf = _File(RESOLV_CONF, parse_servers)
_domains = _File(RESOLV_CONF, parse_domains)
_uplink_resolv_conf = _File(UPLINK_RESOLV_CONF, parse_servers)
_hosts = _File(HOSTS, parse_hosts)
