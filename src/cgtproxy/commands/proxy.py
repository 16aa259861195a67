"""`cgtproxy proxy`: the built-in TPROXY server alone."""

from __future__ import annotations

import logging
import os

from cgtproxy.config.model import Config
from cgtproxy.proxy.supervisor.supervisor import Supervisor
from cgtproxy.runtime import logs
from cgtproxy.runtime.fork import run_in_fork

log = logging.getLogger("cgtproxy")


def proxy(config: str | None, level_name: str | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises CgtproxyError where it cannot start."""
    logs.set_up(logs.level(level_name))
    alive = os.environ.get("CGTPROXY_ALIVE_FD")  # where the daemon has started it
    Supervisor(lambda: _load(config), int(alive) if alive else None).run()
    return 0


def _load(config: str | None) -> Config:
    """YAML and regular expressions take 5 MB, of which the server needs nothing later."""
    loaded, warnings = run_in_fork(lambda: _read(config))
    for warning in warnings:
        log.warning("%s", warning)
    return loaded


def _read(config: str | None) -> tuple[Config, list[str]]:
    from cgtproxy.commands.source import load

    parsed = load(config)
    return parsed.config, [str(warning) for warning in parsed.warnings]
