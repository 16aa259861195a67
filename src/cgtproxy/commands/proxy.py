"""`cgtproxy proxy`: the built-in TPROXY server alone."""

from __future__ import annotations

import logging

from cgtproxy.commands.run import set_up_logs
from cgtproxy.commands.source import load
from cgtproxy.config.model import Config
from cgtproxy.proxy.supervisor import Supervisor

log = logging.getLogger("cgtproxy")


def proxy(config: str | None, level_name: str | None) -> int:
    set_up_logs(level_name)
    Supervisor(lambda: _load(config)).run()
    return 0


def _load(config: str | None) -> Config:
    parsed = load(config)
    for warning in parsed.warnings:
        log.warning("%s", warning)
    return parsed.config
