"""The test bed: everything a test of the real kernel needs, inside `tests/bed/run`.

See docs/development.md for a tour.
"""

from __future__ import annotations

from pathlib import Path

from . import configuration, endings
from .cgroup import Cgroup, MakeCgroup
from .configuration import config
from .conversation import Conversation
from .daemon import (
    IMPATIENT,
    NET_ADMIN_ONLY,
    OLDER_KERNEL,
    PROGRAMS,
    UNPRIVILEGED,
    Daemon,
    cgtproxy,
)
from .kernel import (
    ancestors,
    daemons_table,
    forget_flows,
    ip_routes,
    ip_rules,
    map_elements,
    nft,
    nft_json,
    nft_listing,
    reset,
    run,
    traces,
    verdicts,
)
from .network import (
    HOST4,
    HOST6,
    ORIGIN4,
    ORIGIN6,
    OUTSIDE,
    PROXY4,
    PROXY6,
    SING_BOX_PORT,
    TPROXY_PORT,
    Origin,
    Responder,
    sealed,
)
from .probe import (
    DROPPED,
    REMOTE4,
    REMOTE6,
    Flow,
    Outcome,
    Prober,
    Record,
    everywhere,
    flows,
    paths,
    probe,
)
from .program import Program
from .waiting import wait_until

__all__ = [
    "DROPPED",
    "HOST4",
    "HOST6",
    "IMPATIENT",
    "NET_ADMIN_ONLY",
    "OLDER_KERNEL",
    "ORIGIN4",
    "ORIGIN6",
    "OUTSIDE",
    "PROGRAMS",
    "PROXY4",
    "PROXY6",
    "REMOTE4",
    "REMOTE6",
    "SING_BOX_PORT",
    "TPROXY_PORT",
    "UNPRIVILEGED",
    "Cgroup",
    "Conversation",
    "Daemon",
    "Flow",
    "MakeCgroup",
    "Origin",
    "Outcome",
    "Prober",
    "Program",
    "Record",
    "Responder",
    "ancestors",
    "cgtproxy",
    "config",
    "configuration",
    "daemons_table",
    "endings",
    "everywhere",
    "flows",
    "forget_flows",
    "inside",
    "ip_routes",
    "ip_rules",
    "map_elements",
    "nft",
    "nft_json",
    "nft_listing",
    "paths",
    "probe",
    "reset",
    "run",
    "sealed",
    "traces",
    "verdicts",
    "wait_until",
]


def inside() -> bool:
    """Whether this process runs in the bed."""
    return Path("/run/cgtproxy-bed").exists()
