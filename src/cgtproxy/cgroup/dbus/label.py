"""A cgroup learns the name of its unit."""

from __future__ import annotations

import logging
import os

from cgtproxy.cgroup.tree import Cgroup, Unit
from cgtproxy.runtime.logs import fields

log = logging.getLogger(__name__)


def label(cgroup: Cgroup, unit: Unit) -> None:
    """Set the unit that lives in `cgroup`, and log a change of it."""
    if cgroup.unit == unit:
        return
    cgroup.unit = unit
    if log.isEnabledFor(logging.DEBUG):
        path = os.fsdecode(cgroup.path)
        values = {"CGROUP": path, "UNIT": unit.name, "UNIT_STATE": unit.state}
        log.debug("%s: unit %s is %s", path, unit.name, unit.state, extra=fields(**values))
