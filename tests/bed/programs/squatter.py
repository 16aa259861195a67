"""Another user's program that holds the daemon's lock."""

from __future__ import annotations

import os
import socket
import time

os.setuid(54322)
held = socket.socket(socket.AF_UNIX)
held.bind("\0cgtproxy")
held.listen()
print("ready", flush=True)
time.sleep(1000)
