"""The obvious program, to compare with where no peer is given: nft(8) at each wake-up.

Whatever inotify says, the cgroups of one slice are listed anew and the map is filled anew.
usage: python -m manager.naive -c IGNORED
"""

from __future__ import annotations

import select
import subprocess
from pathlib import Path

from cgtproxy.cgroup.inotify import IN_CREATE, IN_DELETE, Inotify
from cgtproxy.runtime.notify import Notifier

ROOT = Path("/sys/fs/cgroup")
SLICE = ROOT / "app.slice"

TABLE = """\
table inet naive {
    map cgroups { type cgroupsv2 : verdict; }
    chain first { meta mark set 3000; }
    chain output {
        type route hook output priority mangle; policy accept;
        ct direction reply return
        ip daddr { 127.0.0.0/8, 10.0.0.0/8 } return
        ip6 daddr ::1 return
        meta l4proto != { tcp, udp } return
        socket cgroupv2 level 2 vmap @cgroups
    }
}
"""


def nft(script: str) -> bool:
    command = ["nft", "-f", "-"]
    return (
        subprocess.run(command, input=script, text=True, stderr=subprocess.DEVNULL).returncode == 0
    )


def fill() -> bool:
    paths = [entry.relative_to(ROOT) for entry in SLICE.iterdir() if entry.is_dir()]
    elements = ",".join(f'"{path}" : goto first' for path in paths)
    return nft(
        "flush map inet naive cgroups\n"
        + (f"add element inet naive cgroups {{ {elements} }}" if elements else "")
    )


def main() -> None:
    nft(TABLE)
    inotify = Inotify()
    inotify.add(bytes(SLICE), IN_CREATE | IN_DELETE)
    notifier = Notifier()
    while True:
        while not fill():  # a cgroup went between the look at it and nft's
            pass
        notifier.ready("")
        select.select([inotify], [], [])
        list(inotify.read())


main()
