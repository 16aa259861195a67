"""The program, which notices within seconds that somebody has vanished.

impatient.py ARGUMENT...
"""

from __future__ import annotations

import sys

from cgtproxy.cli import main
from cgtproxy.proxy.io import keepalive
from cgtproxy.proxy.worker.tcp import relay as tcp

if __name__ == "__main__":
    keepalive.OPTIONS = dict.fromkeys(keepalive.OPTIONS, 1)
    tcp.LONGEST = 1.0
    sys.exit(main())
