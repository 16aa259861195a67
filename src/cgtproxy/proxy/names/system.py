"""What this computer is told of names: resolv.conf(5) and hosts(5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from cgtproxy.proxy.io.addresses import is_address

T = TypeVar("T")

RESOLV_CONF = Path("/etc/resolv.conf")
# The servers that systemd-resolved asks itself: its own queries might be redirected to us.
UPLINK_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
HOSTS = Path("/etc/hosts")
_RESOLVED = {"127.0.0.53", "127.0.0.54"}
_LOOPBACK = ["127.0.0.1", "::1"]


def servers() -> list[str]:
    """The addresses of the DNS servers, an IPv6 one perhaps with its zone; at least one."""
    found = _resolv_conf.read()
    if found and _RESOLVED.issuperset(found):
        found = _uplink_resolv_conf.read() or found
    return list(found) or ["127.0.0.1"]  # as resolv.conf(5) has it


def candidates(name: str) -> list[str]:
    """The names that `name` may stand for, in order: a single label is looked for in domains."""
    if "." in name or hosts(name):
        return [name]
    return [*(f"{name}.{domain}" for domain in _domains.read()), name]


def hosts(name: str) -> list[str]:
    """The addresses in the file; none for a name that is not there."""
    name = name.lower().rstrip(".")
    found = _hosts.read().get(name, [])
    # RFC 6761, section 6.3
    return list(found) or (_LOOPBACK if name == "localhost" else [])


def names(address: str) -> list[str]:
    """The names that the file has for an address."""
    return [name for name, addresses in _hosts.read().items() if address in addresses]


def parse_servers(text: str) -> list[str]:
    lines = (line.split() for line in text.splitlines())
    named = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    return [word for word in named if is_address(word)]


def parse_domains(text: str) -> list[str]:
    """The search list, which the last line that has one tells."""
    lines = (line.split() for line in text.splitlines())
    lists = [words[1:] for words in lines if words[:1] in (["search"], ["domain"])]
    return [domain.rstrip(".") for domain in lists[-1] if domain != "."] if lists else []


def parse_hosts(text: str) -> dict[str, list[str]]:
    """Addresses by name, in lower case."""
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
    """A file's content, parsed anew when it has changed; a missing file is an empty one."""

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
