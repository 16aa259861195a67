"""Fail-over between the upstreams of a TPROXY: which one is next, and when none is.

A connection (TCP, or one to a DNS server) or an association (UDP) tries the upstreams one after the
other. How each attempt went is one of five outcomes, and this table says what follows:

    outcome                    then            marked down   ruled out from then on
    REFUSED_BY_DESTINATION     stop            no
    REFUSED_BY_UPSTREAM        the next one    no            `on-down: direct`
    SILENT                     the next one    no            whatever goes directly
    UNREACHABLE                the next one    yes
    OUT_OF_DESCRIPTORS         stop            no

It holds for TCP, UDP and DNS alike. They differ in this: UDP passes over the upstreams that carry
none. What is to be next:

- the first upstream of the list that has not been tried and carries the protocol. `direct://` in
  the list is such a one, unless it has been ruled out, and `drop://` ends the search;
- then, for UDP that no upstream of the list carries, what `udp` says;
- else what `on-down` says. No upstream is down that has answered, if only by a refusal.

Why:

- A destination that refuses would refuse at the next upstream, too: the program is told at once.
- Silence may be the destination's as well as the upstream's. If it made anything direct, any
  destination could have itself connected to directly, and see who is behind the upstream, just by
  not answering. If it marked the upstream down, it could do so for all others.
- A refusal of one request is no reason either to take the upstream from others.
- What a health check would find, too, is told to others at once (`MarkDown`).
- Without a descriptor here, the next upstream could not be connected to either.

The machine knows no socket and no clock. Whoever drives it does what the commands say and reports
how the last of them failed:

    start() → Connect | GoDirect | Refuse
    failed(Failed) → [MarkDown] and Connect | GoDirect | Refuse

`GoDirect` and `Refuse` are the end, and so is a `Connect` that succeeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from cgtproxy.config.model import Server, Upstream
from cgtproxy.config.schemes import DIRECT, DROP
from cgtproxy.proxy.protocols.handshake import (
    DeniedError,
    HandshakeError,
    RefusedError,
    UnusableError,
)


class Outcome(Enum):
    """How an attempt to get somewhere by an upstream failed."""

    REFUSED_BY_DESTINATION = auto()  # or the upstream cannot reach it
    REFUSED_BY_UPSTREAM = auto()  # it works, but its rules, or what it is, forbid this request
    SILENT = auto()  # it was asked, and has said nothing or ended the connection
    UNREACHABLE = auto()  # it cannot be connected to, is no such server, or does not let us in
    OUT_OF_DESCRIPTORS = auto()  # this process has no socket

    @property
    def is_final(self) -> bool:
        """Whether no other upstream is tried."""
        return _RULES[self].stop


OUTCOMES: dict[type[HandshakeError], Outcome] = {
    RefusedError: Outcome.REFUSED_BY_DESTINATION,
    DeniedError: Outcome.REFUSED_BY_UPSTREAM,
    UnusableError: Outcome.UNREACHABLE,
}


class Failed(NamedTuple):
    """The end of an attempt without a connection. `reason` is for the log."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Try this upstream, which is a server."""

    upstream: Upstream


@dataclass(frozen=True, slots=True)
class MarkDown:
    """Spare others the attempt, until the next health check."""

    upstream: Upstream


@dataclass(frozen=True, slots=True)
class GoDirect:
    """Go to the destination directly."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the program that there is no way. `reason` is for the log."""

    reason: str


Command: TypeAlias = Connect | MarkDown | GoDirect | Refuse
Commands: TypeAlias = tuple[Command, ...]


class _Rule(NamedTuple):
    stop: bool = False
    mark_down: bool = False
    bars_on_down: bool = False
    bars_direct: bool = False


_RULES = {
    Outcome.REFUSED_BY_DESTINATION: _Rule(stop=True),
    Outcome.REFUSED_BY_UPSTREAM: _Rule(bars_on_down=True),
    Outcome.SILENT: _Rule(bars_on_down=True, bars_direct=True),
    Outcome.UNREACHABLE: _Rule(mark_down=True),
    Outcome.OUT_OF_DESCRIPTORS: _Rule(stop=True),
}


class Failover:
    """The search of one connection or association for an upstream.

    `candidates` are those of `server` that are worth an attempt, in order; none where all are down
    and `on-down` is "direct".
    """

    __slots__ = ("_any_up", "_bars_direct", "_bars_on_down", "_left", "_server", "_tried", "_udp")

    def __init__(
        self, server: Server, candidates: Sequence[Upstream], *, udp: bool = False
    ) -> None:
        self._server = server
        self._udp = udp
        self._any_up = bool(candidates)
        self._left = iter(candidates)
        self._tried: Upstream | None = None
        self._bars_on_down = self._bars_direct = False

    def start(self) -> Commands:
        """What to do first."""
        return (self._next("no upstream is available"),)

    def failed(self, failed: Failed) -> Commands:
        """What to do after the last Connect failed."""
        upstream = self._tried
        assert upstream, "no attempt is under way"
        self._tried = None
        rule = _RULES[failed.outcome]
        self._bars_on_down |= rule.bars_on_down
        self._bars_direct |= rule.bars_direct
        reason = f"{upstream}: {failed.reason}"
        then = Refuse(reason) if rule.stop else self._next(reason)
        return (MarkDown(upstream), then) if rule.mark_down else (then,)

    def _next(self, reason: str) -> Connect | GoDirect | Refuse:
        for upstream in self._left:
            scheme = upstream.scheme
            if scheme is DROP:
                return Refuse("dropped")
            if self._udp and not scheme.carries_udp:
                continue
            if scheme.remote:
                self._tried = upstream
                return Connect(upstream)
            if scheme is DIRECT and not self._bars_direct:
                return GoDirect()
        return GoDirect() if self._last_resort_is_direct() else Refuse(reason)

    def _last_resort_is_direct(self) -> bool:
        if self._bars_direct:
            return False
        if self._udp and self._any_up and not self._list_carries_udp():
            return self._server.udp == "direct"
        return self._server.on_down == "direct" and not self._bars_on_down

    def _list_carries_udp(self) -> bool:
        return any(upstream.scheme.carries_udp for upstream in self._server.upstreams)
