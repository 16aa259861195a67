"""flood.py SOCKET COUNT: has the service manager at SOCKET start so many scopes, one after another.

This process moves from each to the next, so each ends when the next begins. It ends when the last
has been started.
"""

from __future__ import annotations

import os
import socket
import sys

from jeepney import DBusAddress, new_method_call
from jeepney.low_level import Message

from cgtproxy.runtime.dbus import wire
from cgtproxy.runtime.dbus.stream import Stream, greeting

MANAGER = DBusAddress(
    "/org/freedesktop/systemd1", "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager"
)
IN_FLIGHT = 20  # jobs; a manager that has too many of them has time for nothing else


def start(unit: str) -> Message:
    properties = [("PIDs", ("au", [os.getpid()])), ("CollectMode", ("s", "inactive-or-failed"))]
    body: tuple[object, ...] = (unit, "fail", properties, [])
    return new_method_call(MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)


def main(path: str, count: int) -> None:
    with socket.socket(socket.AF_UNIX) as manager:
        manager.connect(path)
        manager.sendall(greeting())
        stream, started, done = Stream(), 0, 0
        while done < count:
            # Signals of all that happens come too, ten for each unit: too many for jeepney.
            for message in stream.receive(manager.recv(1 << 18)):
                assert message.kind != wire.ERROR, message
                done += message.member == "JobRemoved"
            while started < min(count, done + IN_FLIGHT):
                started += 1
                manager.sendall(start(f"flood-{count}-{started}.scope").serialise(started))


main(sys.argv[1], int(sys.argv[2]))
