"""The built-in server under test: its configuration, how it is started, its processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

from .configuration import config as manager_config
from .daemon import Daemon
from .kernel import run
from .probe import Flow, flows

PORT = 10005
NAMES = [f"www{n}.example" for n in range(20)]

# Fixtures: the server, started by hand beside a manager; and with a DNS server, by the manager.
Start: TypeAlias = Callable[..., AbstractContextManager[Daemon]]


def config(
    upstream: str | Sequence[str] = "direct://",
    rules: Mapping[str, str] | None = None,
    *,
    bypass: Sequence[str] = ("127.0.0.0/8", "::1"),
    **keys: Any,
) -> str:
    """One TPROXY, `built-in`, to which all of /app goes; its keys have `_` for `-`."""
    workers = keys.pop("workers", {"count": 2})
    given = {key.replace("_", "-"): value for key, value in keys.items()}
    tproxies = {"built-in": {"port": PORT, "mark": 3005, "upstream": upstream, **given}}
    rules = rules or {"^/app": "built-in"}
    return manager_config(rules, tproxies=tproxies, workers=workers, bypass=bypass)


def rules_alone(text: str) -> str:
    """The same configuration for a manager that starts no server."""
    document = json.loads(text)
    del document["tproxies"]["built-in"]["upstream"]
    return json.dumps(document)


@contextmanager
def started(text: str, **options: Any) -> Iterator[Daemon]:
    """The server, by hand, beside a manager that has the same rules."""
    with (
        Daemon(text, program=("-m", "cgtproxy", "proxy"), **options) as server,
        Daemon(rules_alone(text)),
    ):
        yield server


def tcp(port: int = 80, **hosts: str) -> list[Flow]:
    return [flow for flow in flows(port, **hosts) if flow.protocol == "tcp"]


def processes(daemon: Daemon) -> list[int]:
    """The process ids below the daemon's: the server's, and those of its workers."""
    found = subprocess.run(["pgrep", "-P", str(daemon.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def resolver(daemon: Daemon) -> int:
    """The one of its processes that has opened the pool's file."""
    (server,) = processes(daemon)
    children = run("pgrep", "-P", str(server)).split()
    (pid,) = (pid for pid in children if "fake-ip.db" in run("ls", "-l", f"/proc/{pid}/fd"))
    return int(pid)
