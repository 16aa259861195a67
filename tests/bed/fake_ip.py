"""Programs that know a name alone, and are given a fake-ip address for it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

from .cgroup import Cgroup
from .daemon import PROGRAMS
from .probe import REMOTE4, REMOTE6

NAME = "host.example"
REAL = {4: REMOTE4, 6: REMOTE6}
PORT = 80
CLIENT = str(PROGRAMS / "named_client.py")


def ask(
    app: Cgroup, protocol: str, version: int, *names: str, rounds: int = 1, port: int = PORT
) -> list[list[str]]:
    """For each answer the name, the address it stood for, that of the answer, and the answer."""
    argv = [sys.executable, CLIENT, protocol, str(version), str(rounds), str(port), *names]
    process = app.spawn(argv, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    return [line.split(" ") for line in output.decode().splitlines()]


def is_fake_ip(address: str) -> bool:
    return bool(re.match(r"198\.1[89]\.|fc00:", address))


def check(answers: Sequence[Sequence[str]], count: int, real: str) -> None:
    """Fails unless there are so many answers, all of the origin's at the address `real`."""
    assert len(answers) == count, answers
    for _, fake, source, *answer in answers:
        assert is_fake_ip(fake)
        assert source == fake
        assert answer[:3] == ["origin", real, str(PORT)]
