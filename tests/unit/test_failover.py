"""Fail-over as scripts of outcomes and commands; no socket is needed for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config import schemes
from cgtproxy.config.model import Fallback, Server, Upstream
from cgtproxy.proxy.upstreams.failover import (
    Command,
    Connect,
    Failed,
    Failover,
    GoDirect,
    MarkDown,
    Outcome,
    Refuse,
)

A, B = (Upstream(schemes.SOCKS5, name, 1080) for name in ("a", "b"))
WEB = Upstream(schemes.HTTP, "web", 80)
DIRECT, DROP = Upstream(schemes.DIRECT), Upstream(schemes.DROP)

STOP = Outcome.REFUSED_BY_DESTINATION, Outcome.OUT_OF_DESCRIPTORS
GO_ON = Outcome.REFUSED_BY_UPSTREAM, Outcome.SILENT, Outcome.UNREACHABLE
REFUSED = Refuse("")


def play(
    upstreams: Sequence[Upstream],
    outcomes: Sequence[Outcome] = (),
    *,
    datagrams: bool,
    up: Sequence[Upstream] | None = None,
    **keys: Any,
) -> list[Command]:
    """All commands, if that is how the attempts end. Refuse is without its reason."""
    candidates = upstreams if up is None else up
    machine = Failover(Server(tuple(upstreams), **keys), candidates, udp=datagrams)
    commands = [*machine.start()]
    for outcome in outcomes:
        assert isinstance(commands[-1], Connect), f"nothing is tried that could be {outcome}"
        commands += machine.failed(Failed(outcome, "said so"))
    return [REFUSED if isinstance(command, Refuse) else command for command in commands]


@pytest.mark.parametrize("datagrams", [False, True], ids=["connection", "datagrams"])
class TestTheTable:
    @pytest.mark.parametrize("outcome", STOP)
    @pytest.mark.parametrize(("rest", "on_down"), [(B, "drop"), (DIRECT, "drop"), (B, "direct")])
    def test_what_stops(
        self, datagrams: bool, outcome: Outcome, rest: Upstream, on_down: Fallback
    ) -> None:
        commands = play([A, rest], [outcome], datagrams=datagrams, on_down=on_down)
        assert commands == [Connect(A), REFUSED]

    @pytest.mark.parametrize("outcome", GO_ON)
    def test_what_goes_on_at_the_next_one(self, datagrams: bool, outcome: Outcome) -> None:
        marked = [MarkDown(A)] if outcome is Outcome.UNREACHABLE else []
        assert play([A, B], [outcome], datagrams=datagrams) == [Connect(A), *marked, Connect(B)]
        assert play([A], [outcome], datagrams=datagrams) == [Connect(A), *marked, REFUSED]

    @pytest.mark.parametrize("outcome", GO_ON)
    def test_direct_in_the_list(self, datagrams: bool, outcome: Outcome) -> None:
        last = REFUSED if outcome is Outcome.SILENT else GoDirect()
        assert play([A, DIRECT], [outcome], datagrams=datagrams)[-1] == last

    @pytest.mark.parametrize("outcome", GO_ON)
    def test_on_down_is_for_those_that_are_down(self, datagrams: bool, outcome: Outcome) -> None:
        last = GoDirect() if outcome is Outcome.UNREACHABLE else REFUSED
        for outcomes in ([outcome], [outcome, Outcome.UNREACHABLE], [Outcome.UNREACHABLE, outcome]):
            upstreams = [A, B][: len(outcomes)]
            commands = play(upstreams, outcomes, datagrams=datagrams, on_down="direct")
            assert commands[-1] == last

    def test_the_list_goes_on_after_silence_but_never_directly(self, datagrams: bool) -> None:
        silence, down = Outcome.SILENT, Outcome.UNREACHABLE
        commands = play([A, DIRECT, B], [silence, down], datagrams=datagrams, on_down="direct")
        assert commands == [Connect(A), Connect(B), MarkDown(B), REFUSED]

    def test_all_are_known_to_be_down(self, datagrams: bool) -> None:
        commands = play([A, WEB], up=[], datagrams=datagrams, on_down="direct", udp="drop")
        assert commands == [GoDirect()]

    def test_drop_ends_the_search(self, datagrams: bool) -> None:
        assert play([DROP, A], datagrams=datagrams) == [REFUSED]
        commands = play([A, DROP, B], [Outcome.UNREACHABLE], datagrams=datagrams, on_down="direct")
        assert commands == [Connect(A), MarkDown(A), REFUSED]

    def test_direct_alone(self, datagrams: bool) -> None:
        assert play([DIRECT], datagrams=datagrams) == [GoDirect()]


class TestUpstreamsWithoutUdp:
    @pytest.mark.parametrize("key", ["drop", "direct"])
    def test_the_first_that_carries_it_is_taken(self, key: Fallback) -> None:
        assert play([WEB, A], datagrams=True, udp=key) == [Connect(A)]
        assert play([WEB, DIRECT], datagrams=True, udp=key) == [GoDirect()]
        commands = play([A, WEB, B], [Outcome.SILENT], datagrams=True, udp=key)
        assert commands == [Connect(A), Connect(B)]

    @pytest.mark.parametrize(("key", "last"), [("drop", REFUSED), ("direct", GoDirect())])
    @pytest.mark.parametrize("on_down", ["drop", "direct"])
    def test_where_no_upstream_carries_it_the_key_udp_decides(
        self, key: Fallback, last: Command, on_down: Fallback
    ) -> None:
        assert play([WEB], datagrams=True, udp=key, on_down=on_down) == [last]

    def test_the_key_udp_is_not_for_those_that_are_down(self) -> None:
        commands = play([WEB, A], [Outcome.UNREACHABLE], datagrams=True, udp="direct")
        assert commands[-1] == REFUSED

    @pytest.mark.parametrize(("on_down", "last"), [("drop", REFUSED), ("direct", GoDirect())])
    def test_the_only_one_that_carries_it_is_known_to_be_down(
        self, on_down: Fallback, last: Command
    ) -> None:
        commands = play([WEB, A], up=[WEB], datagrams=True, udp="direct", on_down=on_down)
        assert commands == [last]

    def test_connections_do_not_mind(self) -> None:
        assert play([WEB, A], datagrams=False, udp="direct") == [Connect(WEB)]


FALLBACKS: st.SearchStrategy[Fallback] = st.sampled_from(["drop", "direct"])


@given(
    upstreams=st.lists(st.sampled_from([A, B, WEB, DIRECT, DROP]), min_size=1, unique=True),
    outcomes=st.lists(st.sampled_from(Outcome), min_size=5, max_size=5),
    on_down=FALLBACKS,
    key=FALLBACKS,
    datagrams=st.booleans(),
)
def test_whatever_happens(
    upstreams: list[Upstream],
    outcomes: list[Outcome],
    on_down: Fallback,
    key: Fallback,
    datagrams: bool,
) -> None:
    machine = Failover(Server(tuple(upstreams), on_down=on_down, udp=key), upstreams, udp=datagrams)
    commands = [*machine.start()]
    happened: list[Outcome] = []
    while isinstance(commands[-1], Connect):
        happened.append(outcomes[len(happened)])  # there are more than upstreams
        commands += machine.failed(Failed(happened[-1], ""))
    tried = [command.upstream for command in commands if isinstance(command, Connect)]
    assert len(set(tried)) == len(tried)
    assert all(upstream.scheme.carries_udp for upstream in tried) or not datagrams
    marked = [command.upstream for command in commands if isinstance(command, MarkDown)]
    ended = zip(tried, happened, strict=True)
    assert marked == [upstream for upstream, how in ended if how is Outcome.UNREACHABLE]
    assert sum(isinstance(command, GoDirect | Refuse) for command in commands) == 1
    if commands[-1] == GoDirect():
        assert Outcome.SILENT not in happened
        assert DIRECT in upstreams or on_down == "direct" or (datagrams and key == "direct")
        assert set(happened).isdisjoint(STOP)
