"""The program, on a kernel that knows less of table ownership than this one.

    older_kernel.py FLAGS ARGUMENT...

FLAGS are the nf_tables table flags that it takes: 2 is "owner" (Linux 5.12), 0 none. It is asked
first for one that no kernel knows, so the refusal is the real one.
"""

from __future__ import annotations

import sys

from cgtproxy.cli import main
from cgtproxy.nft import kernel

UNKNOWN = 0x8000

if __name__ == "__main__":
    flags = int(sys.argv.pop(1))
    kernel.OWNERSHIP = (UNKNOWN | flags, flags)
    sys.exit(main())
