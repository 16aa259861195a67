"""The server without one of its optimisations: `python -m ablations.server SWITCH ARGUMENT...`.

The arguments are those of cgtproxy. The supervisor forks its workers, so they are without it, too.
"""

from __future__ import annotations

import sys

from cgtproxy.cli import main

from .switches import SWITCHES

if __name__ == "__main__":
    _, name, *arguments = sys.argv
    SWITCHES[name].patch()
    sys.exit(main(arguments))
