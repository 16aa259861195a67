"""Logs a line of each level to the journal socket that is the first argument."""

from __future__ import annotations

import logging
import os
import sys

from cgtproxy.runtime import logs

logs.JOURNAL = sys.argv[1]
if "its own" in sys.argv:
    status = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
logs.set_up(logging.DEBUG)
log = logging.getLogger("cgtproxy.part")
log.debug("seen")
log.info("done", extra=logs.fields(CGROUP=os.fsdecode(b"/a-\xff"), TARGET="direct", RULE=3))
log.warning("a\nb", extra=logs.fields(CGROUP="/c\nd"))
log.error("named %s", os.fsdecode(b"\xff \x1b[2J"))
