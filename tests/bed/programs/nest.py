"""Makes directories below the working directory, each in the one before, named by its arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

for name in sys.argv[1:]:
    Path(name).mkdir()
    os.chdir(name)
