"""Which upstreams are tried, by what is known of them."""

from __future__ import annotations

from typing import Literal

import pytest

from cgtproxy.config.model import Server, Upstream
from cgtproxy.config.schemes import HTTP, SOCKS5
from cgtproxy.proxy.upstreams.selection import Health, UpstreamSelector

BOTH = FIRST, SECOND = Upstream(SOCKS5, "one.example", 1080), Upstream(HTTP, "two.example", 80)


@pytest.mark.parametrize(("interval", "left"), [(10, [SECOND]), (0, [FIRST, SECOND])])
@pytest.mark.parametrize("on_down", ["drop", "direct"])
def test_one_that_failed_is_passed_over_until_a_check_that_may_come(
    interval: int, left: list[Upstream], on_down: Literal["drop", "direct"]
) -> None:
    health = Health(BOTH)
    selector = UpstreamSelector(Server(BOTH, on_down=on_down, health_check=interval), health)
    selector.failed(FIRST)
    assert list(selector.candidates()) == left
    assert not health.is_up(FIRST)
    health.tell(FIRST, up=True)
    assert tuple(selector.candidates()) == BOTH


def test_what_another_ones_connections_tell_spares_only_those_who_check() -> None:
    health = Health(BOTH)
    checked = UpstreamSelector(Server(BOTH), health)
    UpstreamSelector(Server(BOTH, health_check=0), health).failed(FIRST)
    assert list(checked.candidates()) == [SECOND]
