"""`cgtproxy`, but its server waits for the first names as long as a test waits for anything."""

from __future__ import annotations

import sys

from cgtproxy.cli import main
from cgtproxy.proxy.upstreams import resolve as targets

targets._FIRST = 60.0
sys.exit(main())
