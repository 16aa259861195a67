"""`cgtproxy`: the daemon."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import cgtproxy
from cgtproxy.commands.source import load
from cgtproxy.daemon.daemon import Daemon
from cgtproxy.runtime import logs


def run(config: str | None, level_name: str | None, *, serve: bool) -> int:
    """`serve`: run the built-in server, too, where a TPROXY has an upstream."""
    logs.set_up(logs.level(level_name))
    # A cgroup refers to its parent and back: 100,000 of them would be traced again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    Daemon(lambda: load(config), server_command(config) if serve else ()).run()
    return 0


def server_command(config: str | None) -> list[str]:
    """Runs the built-in server, of this very package: it need not be where Python looks by itself.

    The configuration is that of the daemon, also where it has found it by default.
    """
    where = str(Path(cgtproxy.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {where!r}); from cgtproxy.cli import main"
    python = [sys.executable, "-P", "-c", f"{code}; sys.exit(main())"]
    return [*python, "proxy", *(["-c", config] if config else [])]
