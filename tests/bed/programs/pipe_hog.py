"""Takes all the pipe memory that its user may have."""

from __future__ import annotations

import fcntl
import os
import signal

held: list[int] = []
try:
    while True:
        held += os.pipe()
        fcntl.fcntl(held[-1], fcntl.F_SETPIPE_SZ, 1 << 20)
except PermissionError:
    print("ready", flush=True)
signal.pause()
