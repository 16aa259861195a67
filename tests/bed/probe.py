"""What really happens to the traffic of a cgroup, seen from a process inside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .cgroup import Cgroup
from .program import Program
from .waiting import wait_until

PROGRAM = Path(__file__).parent / "programs" / "prober.py"
# Addresses for documentation (RFC 5737, RFC 3849): the origin answers at any address.
REMOTE4, REMOTE6 = "192.0.2.7", "2001:db8::7"


class Flow(NamedTuple):
    """`protocol` is "tcp" or "udp", `host` an address of either family."""

    protocol: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """One of tcp4, udp4, tcp6, udp6."""
        return self.protocol + ("6" if ":" in self.host else "4")


class Outcome(NamedTuple):
    """Who answered (origin, tproxy, ...), or why nobody did (timeout, refused, denied, ...).

    `local` is where the server was reached, which is the destination that the client meant;
    `peer` is the client as the server saw it. Both are None if nobody answered.
    """

    by: str
    local: tuple[str, int] | None = None
    peer: tuple[str, int] | None = None

    @property
    def client(self) -> str:
        """The address of the client as the server saw it; "" if nobody answered."""
        return self.peer[0] if self.peer else ""

    @classmethod
    def parse(cls, text: str) -> Outcome:
        match text.split(" "):
            case [by, local, local_port, peer, peer_port]:
                return cls(by, (local, int(local_port)), (peer, int(peer_port)))
        return cls(text)


class Record(NamedTuple):
    """One probe of a `Prober`; times in ns, of `time.monotonic_ns()`."""

    start: int
    end: int
    flow: Flow
    outcome: Outcome

    @classmethod
    def parse(cls, line: str) -> Record:
        start, end, destination, outcome = line.split("\t")
        protocol, host, port = destination.split(",")
        flow = Flow(protocol, host, int(port))
        return cls(int(start), int(end), flow, Outcome.parse(outcome))


def flows(port: int = 80, host4: str = REMOTE4, host6: str = REMOTE6) -> list[Flow]:
    """TCP and UDP over IPv4 and IPv6 to `port`."""
    return [Flow(protocol, host, port) for host in (host4, host6) for protocol in ("tcp", "udp")]


class Prober(Program):
    """Probes `flows` from inside `cgroup` for as long as the context is open.

    Every `interval` seconds each flow gets a probe from a fresh socket, whether or not the
    earlier ones have been answered; one not answered in `timeout` seconds is a "timeout".
    An `interval` of 0 means one probe each.
    """

    def __init__(
        self,
        cgroup: Cgroup | None,
        *flows: Flow,
        interval: float = 0.01,
        timeout: float = 2.0,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.flows = flows
        destinations = [f"{flow.protocol},{flow.host},{flow.port}" for flow in flows]
        argv = [sys.executable, "-IS", str(PROGRAM), str(interval), str(timeout), *destinations]
        super().__init__([*wrapper, *argv], cgroup=cgroup)

    @property
    def records(self) -> list[Record]:
        """All probes that have ended so far, in the order in which they ended."""
        return [Record.parse(line) for line in list(self.lines)]

    def wait_rounds(self, rounds: int = 1) -> list[Record]:
        """Wait until each flow has had `rounds` probes begun after this call; return those."""
        begin, known = time.monotonic_ns(), len(self.lines)

        def later() -> list[Record]:
            fresh = [Record.parse(line) for line in self.lines[known:]]
            return [record for record in fresh if record.start >= begin]

        def enough() -> bool:
            seen = [record.flow for record in later()]
            return all(seen.count(flow) >= rounds for flow in self.flows)

        wait_until(enough, f"{rounds} round(s) of probes from {self.cgroup!r}", timeout=30)
        return later()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        super().__exit__(kind, *_)
        assert self.process.returncode == 0, self


def probe(
    cgroup: Cgroup | None, *flows: Flow, timeout: float = 2.0, wrapper: Sequence[str] = ()
) -> dict[Flow, Outcome]:
    """Try all `flows` at once from a fresh process in `cgroup`."""
    prober = Prober(cgroup, *flows, interval=0, timeout=timeout, wrapper=wrapper).start()
    assert prober.wait(timeout + 20) == 0, prober
    return {record.flow: record.outcome for record in prober.records}


def paths(
    cgroup: Cgroup,
    port: int = 80,
    *,
    host4: str = REMOTE4,
    host6: str = REMOTE6,
    timeout: float = 2.0,
) -> dict[str, str]:
    """Who answers `cgroup`, or what goes wrong, by "tcp4", "udp4", "tcp6" and "udp6"."""
    seen = probe(cgroup, *flows(port, host4, host6), timeout=timeout)
    return {flow.name: outcome.by for flow, outcome in seen.items()}


def everywhere(by: str) -> dict[str, str]:
    """What `paths` returns when all four flows meet with `by`."""
    return dict.fromkeys(("tcp4", "udp4", "tcp6", "udp6"), by)


# What `paths` returns under a drop rule: a dropped datagram fails in send(2), a dropped SYN is
# sent again and again by TCP.
DROPPED = {"tcp4": "timeout", "udp4": "denied", "tcp6": "timeout", "udp6": "denied"}
