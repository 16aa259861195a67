"""`cgtproxy check`: is the configuration right, and may we run?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from cgtproxy.commands.source import describe, load
from cgtproxy.config.model import Config
from cgtproxy.errors import CgtproxyError, NothingToServeError


def check(config: str | None, what: str | None) -> int:
    """Run the check called `what`, or all but "proxy", and return the first exit code but 0.

    "config": is the file valid? "permission": may this process change nftables and routing?
    "proxy": does the built-in server have anything to do?
    """
    codes = []
    if what in (None, "config"):
        codes.append(_print(_check_config, config))
    if what in (None, "permission"):
        codes.append(_print(_check_permission, config))
    if what == "proxy":
        codes.append(_print(_check_proxy, config))
    return next((code for code in codes if code), 0)


def _print(check: Callable[[str | None], str], config: str | None) -> int:
    """Print what a check finds, be it an error; the exit code."""
    try:
        print(check(config))
    except CgtproxyError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _check_config(config: str | None) -> str:
    parsed = load(config)
    for warning in parsed.warnings:
        print(f"{warning} (warning)", file=sys.stderr)
    counts = f"{len(parsed.config.rules)} rules, {len(parsed.config.tproxies)} TPROXYs"
    right = f"configuration: {describe(config)} is valid: {counts}"
    return "\n".join([right, *_blind_spots(parsed.config)])


def _blind_spots(config: Config) -> Iterator[str]:
    if config.monitor != "dbus":
        return
    yield (
        "monitor: dbus sees systemd's units only: the cgroups below a unit (containers) follow it, "
        "and a unit that ends at once may be missed"
    )
    if os.geteuid() != 0:
        yield (
            "monitor: dbus sees the units of users as root only, and this is not root; "
            "`monitor: both` sees their cgroups"
        )


def _check_proxy(config: str | None) -> str:
    served = [tproxy.name for tproxy in load(config).config.tproxies if tproxy.server]
    if not served:
        what = "proxy: no TPROXY has an upstream, the built-in server has nothing to do"
        raise NothingToServeError(what)
    return f"proxy: the built-in server serves {', '.join(served)}"


def _check_permission(_: str | None) -> str:
    from cgtproxy.nft.kernel import check_permission

    check_permission()
    return "permission: this process may change nftables and routing"
