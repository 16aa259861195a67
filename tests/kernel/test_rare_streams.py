"""What is rare in TCP: a FIN before the connection is there, and urgent data."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bed
from bed.built_in import Start, config

HALF_CLOSER = str(bed.PROGRAMS / "half_closer.py")
SYN_DROPPED = "table inet deaf { chain in { type filter hook input priority 0; "
SYN_DROPPED += "tcp dport 80 tcp flags syn counter drop; }; }"


def test_a_half_close_before_the_far_end_has_answered(start: Start, cgroup: bed.MakeCgroup) -> None:
    far = [*bed.OUTSIDE, "nft"]
    with start(config()):
        bed.run(*far, SYN_DROPPED)
        app = cgroup("app").spawn([sys.executable, HALF_CLOSER], stdout=subprocess.PIPE)
        drops = [*far, "list", "table", "inet", "deaf"]
        bed.wait_until(lambda: "packets 0" not in bed.run(*drops), "the first SYN")
        # The client's FIN is there before the SYN is sent again, a second later.
        bed.run(*far, "delete", "table", "inet", "deaf")
        assert app.communicate(timeout=20)[0] == b"b''\n"


URGENT = str(bed.PROGRAMS / "urgent.py")
COUNTING = str(bed.PROGRAMS / "byte_counter.py")


@pytest.mark.parametrize("end", ["open", "fin"])
def test_urgent_data_amid_many_others(start: Start, cgroup: bed.MakeCgroup, end: str) -> None:
    far = bed.Program([*bed.OUTSIDE, sys.executable, COUNTING])
    with start(config()), far:
        far.wait_line("^ready$")
        app = cgroup("app")
        argv = [sys.executable, URGENT, end]
        for _ in range(5):  # once the end must come while something is being moved
            near = app.spawn(argv, stdout=subprocess.PIPE)
            assert near.communicate(timeout=40)[0] == b"b'all'\n"
