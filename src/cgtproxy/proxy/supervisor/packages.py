"""Python packages that not every configuration needs."""

from __future__ import annotations

from importlib.util import find_spec

from cgtproxy.config.model import Config
from cgtproxy.errors import CgtproxyError


class PackageMissingError(CgtproxyError):
    """The configuration needs a Python package that is not installed."""


def require_packages(config: Config) -> None:
    """Find out, without importing anything, whether all packages that `config` needs are there.

    Raises PackageMissingError.
    """
    dns = config.dns_servers.values()
    if any(u.scheme == "https" for one in dns for u in (*one.upstreams, *one.exclude_upstreams)):
        _require("https:// as a DNS upstream", {"httpcore": "httpx", "anyio": "httpx", "h2": "h2"})


def _require(what: str, packages: dict[str, str]) -> None:
    """`packages`: what to install, by what is imported."""
    missing = {package for module, package in packages.items() if not find_spec(module)}
    if missing:
        listed = " and ".join(sorted(missing))
        debian = " ".join(f"python3-{package}" for package in sorted(missing))
        hint = f"install it: `apt install {debian}`, or `pip install {' '.join(sorted(missing))}`"
        raise PackageMissingError(f"{what} needs the Python package {listed}", hint)
