"""What is rare in TCP: a FIN before the connection is there, and urgent data."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bed
from kernel.test_proxy import config, start

__all__ = ["start"]

HALF_CLOSER = """
import socket
with socket.create_connection(("192.0.2.7", 80), 10) as sock:
    sock.shutdown(socket.SHUT_WR)
    print(sock.recv(10))
"""
SYN_DROPPED = "table inet deaf { chain in { type filter hook input priority 0; "
SYN_DROPPED += "tcp dport 80 tcp flags syn counter drop; }; }"


def test_a_half_close_before_the_far_end_has_answered(start, cgroup):
    far = [*bed.OUTSIDE, "nft"]
    with start(config()):
        bed.run(*far, SYN_DROPPED)
        app = cgroup("app").spawn([sys.executable, "-c", HALF_CLOSER], stdout=subprocess.PIPE)
        drops = [*far, "list", "table", "inet", "deaf"]
        bed.wait_until(lambda: "packets 0" not in bed.run(*drops), "the first SYN")
        # The client's FIN is there before the SYN is sent again, a second later.
        bed.run(*far, "delete", "table", "inet", "deaf")
        assert app.communicate(timeout=20)[0] == b"b''\n"


# Each urgent byte but the last has become a usual one when the next comes (tcp(7)).
URGENT = """
import socket
with socket.create_connection(("192.0.2.7", 7001), 30) as sock:
    sock.sendall(b"x" * 3_000_000)
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(b"x" * 3_000_000)
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(b"y" * 1000)
    {end}
    print(sock.recv(10))
"""
COUNTING = """
import socket
listener = socket.create_server(("0.0.0.0", 7001))
print("ready", flush=True)
while True:
    sock, _ = listener.accept()
    count = 0
    while data := sock.recv(1 << 20):
        count += data.count(b"x") + data.count(b"y")
        if count == 6_001_000:
            sock.sendall(b"all")
"""


@pytest.mark.parametrize("end", ["", "sock.shutdown(socket.SHUT_WR)"])
def test_urgent_data_amid_many_others(start, cgroup, end):
    far = bed.Program([*bed.OUTSIDE, sys.executable, "-c", COUNTING])
    with start(config()), far:
        far.wait_line("^ready$")
        app = cgroup("app")
        argv = [sys.executable, "-c", URGENT.format(end=end)]
        for _ in range(5):  # once the end must come while something is being moved
            near = app.spawn(argv, stdout=subprocess.PIPE)
            assert near.communicate(timeout=40)[0] == b"b'all'\n"
