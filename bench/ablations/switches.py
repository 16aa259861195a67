"""The optimisations that cost the reader something, and how to do without each.

A patch replaces names of the product's modules, in the processes of the measured server alone.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

Patch = Callable[[], None]


class Switch(NamedTuple):
    """`without`: what the server does after `patch`, instead of the optimisation.

    `measurements` (of measurements.py) are those that it is there for; with `socks`, through a
    SOCKS5 server.
    """

    without: str
    measurements: tuple[str, ...]
    patch: Patch
    socks: bool = False


def replaced(path: str, value: Any) -> Patch:
    """Sets `path`, "module:name" or "module:class.name" below cgtproxy.proxy."""

    def patch() -> None:
        module, _, name = path.partition(":")
        owner: Any = import_module(f"cgtproxy.proxy.{module}")
        *classes, name = name.split(".")
        for each in classes:
            owner = getattr(owner, each)
        getattr(owner, name)  # a name that is gone must not be measured as worth nothing
        setattr(owner, name, value)

    return patch


def together(*patches: Patch) -> Patch:
    """Does several."""

    def patch() -> None:
        for each in patches:
            each()

    return patch


def _nothing(*_: object) -> None:
    pass


def _copy_again(direction: Any) -> None:
    direction.shared.reactor.soon(direction.pump)


def _soon(reactor: Any, callback: Callable[[], None]) -> None:
    reactor.soon(callback)


def _keep_alive_at_once() -> None:
    from cgtproxy.proxy.io.keepalive import keep_alive
    from cgtproxy.proxy.worker.tcp.relay import Relays

    join = Relays.join

    def joined(relays: Relays, *arguments: Any) -> Any:
        up = join(relays, *arguments)
        relays.open[up] = True
        keep_alive(up.sink)
        return up

    replaced("worker.tcp.relay:Relays.join", joined)()


def _default_gc() -> None:
    gc.freeze = gc.set_threshold = _nothing


def _plain_sockets() -> None:
    vars(socket)["SocketType"] = socket.socket


DIRECTION = "worker.tcp.direction"
SWITCHES = {
    "nothing": Switch(
        "the same server once more: the noise",
        ("down", "up", "streams", "trips", "closing", "crowd", "set-up", "datagrams"),
        _nothing,
    ),
    "nothing-socks": Switch("likewise, by SOCKS5", ("socks",), _nothing, socks=True),
    "splice": Switch(
        "copies all, through one buffer",
        ("down", "up"),
        replaced(f"{DIRECTION}:Direction._start_splicing", _copy_again),
    ),
    "pipe-size": Switch(
        "pipes of 64 KiB, the kernel's default",
        ("down", "up"),
        together(
            replaced(f"{DIRECTION}:_PIECE", 1 << 16),
            replaced("worker.tcp.pipes:SIZE", 1 << 16),
        ),
    ),
    "piece": Switch(
        "moves a whole MiB at a time", ("down", "trips"), replaced(f"{DIRECTION}:_PIECE", 1 << 20)
    ),
    "reno": Switch(
        "the host's congestion control on this computer, too",
        ("down", "up", "closing"),
        together(
            replaced("io.sockets:leave_unpaced", _nothing),
            replaced("upstreams.dial:leave_unpaced", _nothing),
        ),
    ),
    "fin": Switch(
        "sends the FIN in a segment of its own",
        ("closing",),
        replaced(f"{DIRECTION}:_WITH_FIN", int(socket.MSG_DONTWAIT)),
    ),
    "keep-alive": Switch("sets keep-alive at once", ("closing",), _keep_alive_at_once),
    "help": Switch(
        "accepts its own clients only",
        ("closing", "crowd", "set-up"),
        replaced("worker.tcp.listener:_HELP_AFTER", 1e9),
    ),
    "help-order": Switch(
        "waits for all workers' clients from the start",
        ("closing", "crowd", "set-up", "streams"),
        replaced("worker.tcp.listener:_HELP_AFTER", 0.0),
    ),
    "later": Switch(
        "accepts before it relays",
        ("closing", "crowd", "set-up"),
        replaced("io.reactor:Reactor.later", _soon),
    ),
    "batches": Switch(
        "accepts one client in a turn",
        ("closing", "crowd"),
        replaced("worker.tcp.listener:_MOST_AT_ONCE", 1),
    ),
    "gc": Switch("Python's own settings of the collector", ("crowd", "memory"), _default_gc),
    "socket-type": Switch(
        "socket.socket instead of its base class", ("closing", "set-up", "memory"), _plain_sockets
    ),
    "pairs": Switch(
        "no connected socket pairs",
        ("datagrams",),
        replaced("worker.udp.direct:BUSY_AFTER", 1 << 60),
    ),
    "recvmmsg": Switch(
        "one datagram in a system call",
        ("datagrams",),
        together(replaced("io.mmsg:BATCH", 1), replaced("worker.udp.pair:BATCH", 1)),
    ),
    "idle-pool": Switch(
        "connects to the upstream when a client comes",
        ("socks",),
        replaced("upstreams.pool:IdlePool.grow", _nothing),
        socks=True,
    ),
    "pool-size": Switch(
        "2 idle connections instead of 8",
        ("socks",),
        replaced("upstreams.pool:_MOST", 2),
        socks=True,
    ),
    "pool-growth": Switch(
        "one more idle connection at a time instead of two",
        ("socks",),
        replaced("upstreams.pool:_GROWTH", 1),
        socks=True,
    ),
    "user-timeout": Switch(
        "no TCP_USER_TIMEOUT while an idle connection is taken up again",
        ("socks",),
        replaced("upstreams.dial:Dial._limit_retransmissions", _nothing),
        socks=True,
    ),
    "greet": Switch(
        "waits for an event before it greets the upstream",
        ("socks",),
        replaced("upstreams.dial:Dial._greet_at_once", _nothing),
        socks=True,
    ),
}
