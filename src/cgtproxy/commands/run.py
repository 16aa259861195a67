"""`cgtproxy`: the daemon."""

from __future__ import annotations

import gc
import os
import sys

from cgtproxy import logs
from cgtproxy.commands.source import load
from cgtproxy.daemon import Daemon
from cgtproxy.errors import CgtproxyError, ExitCode


class UsageError(CgtproxyError):
    exit_code = ExitCode.USAGE


def set_up_logs(level_name: str | None) -> None:
    name = level_name or os.environ.get("LOG_LEVEL") or "info"
    level = logs.level(name)
    if level is None:
        raise UsageError(f"unknown log level {name!r}", f"it is one of {', '.join(logs.LEVELS)}")
    logs.set_up(level)


def run(config: str | None, level_name: str | None) -> int:
    set_up_logs(level_name)
    # A cgroup refers to its parent and back: 100,000 of them would be traced again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    server = [sys.executable, "-m", "cgtproxy", "proxy"]
    Daemon(lambda: load(config), [*server, "-c", config] if config else server).run()
    return 0
