"""How often does a new app's first connection go the wrong way?

    dev/build-deb && sudo tests/bed/run .venv/bin/python bench/startrace.py [COUNT [POLICY...]]

Boots a machine with the shipped unit, in the bed, and starts COUNT (500) services and as many
scopes of a user, whose first act is to connect to one address over TCP. A rule sends each of
them, by name, to a TPROXY server, while all else there goes direct; who answered is counted. Idle,
and with four CPU hogs; for each scheduling POLICY of the daemon (default: rr nice other).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import bed
from bed.machine import Machine
from bed.service import Service

PROJECT = Path(__file__).parents[1]
POLICIES: dict[str, dict[str, object]] = {
    "rr": {},  # as shipped
    "nice": {"CPUSchedulingPolicy": "other", "Nice": -20},
    "other": {"CPUSchedulingPolicy": "other"},
}
KINDS = {
    "services": ("systemd-run --quiet --collect --wait --pipe --unit=race-{}.service", False),
    "user scopes": ("systemd-run --user --quiet --collect --scope --unit=race-{}.scope", True),
}
HOGS = 4
AT_ONCE = 4  # units being started at any time
# bash is connecting about 1 ms after it is executed; Python would need 20.
FIRST_ACT = f"exec 3<>/dev/tcp/{bed.REMOTE4}/80; echo who >&3; read -r by _ <&3; echo $by"


def race(machine: Machine, kind: str, count: int) -> Counter[str]:
    """Start so many; who answered them."""
    run, user = KINDS[kind]
    start = f"seq {count} | xargs -P {AT_ONCE} -I {{}} {run} bash -c '{FIRST_ACT}'"
    return Counter(machine.run("sh", "-c", start, user=user).stdout.split())


@contextmanager
def load(machine: Machine, hogs: int) -> Iterator[None]:
    names = [f"hog-{number}" for number in range(hogs)]
    for name in names:
        machine.run(
            *("systemd-run", "--quiet", "--collect", f"--unit={name}"),
            *("bash", "-c", "while :; do :; done"),
        )
    yield
    if names:
        machine.systemctl("stop", *names)


def measure(machine: Machine, count: int, policies: list[str]) -> None:
    print(f"wrong first connections of {count}, by the daemon's scheduling:")
    print(
        f"  {'':8}"
        + "".join(f"{kind + ', ' + how:>24}" for how in ("idle", "busy") for kind in KINDS)
    )
    for policy in policies:
        service = Service(machine)
        service.configure(bed.config({r"/race-\d+\.": "first"}))
        service.override(**POLICIES[policy])
        service.start()
        cells: list[int] = []
        for hogs in (0, HOGS):
            with load(machine, hogs):
                # Who got no answer began to go direct and was redirected half-way.
                cells += [count - race(machine, kind, count)["tproxy"] for kind in KINDS]
        print(f"  {policy:8}" + "".join(f"{cell:24}" for cell in cells), flush=True)
        machine.systemctl("stop", "cgtproxy")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    package = max((PROJECT / "dist").glob("*.deb"), key=lambda path: path.stat().st_mtime)
    with (
        bed.Origin(80),
        bed.Cgroup("proxy") as home,
        bed.Responder("tproxy", bed.TPROXY_PORT, cgroup=home),
        Machine(package) as machine,
    ):
        machine.log_in()
        measure(machine, count, sys.argv[2:] or list(POLICIES))


if __name__ == "__main__":
    main()
