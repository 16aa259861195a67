"""The DNS server's sockets, where IPv6 comes and goes."""

from __future__ import annotations

import subprocess
import sys

import bed

CODE = str(bed.PROGRAMS / "ipv6_comes_and_goes.py")


def test_ipv6_comes_and_goes() -> None:
    command = ["unshare", "--net", sys.executable, CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
