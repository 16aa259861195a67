"""ICMP errors about an address that stands for another one."""

from __future__ import annotations

from typing import Any

import pytest

from cgtproxy.proxy.io.addresses import AF_INET, AF_INET6
from cgtproxy.proxy.worker.udp.icmp import Error, about

REAL4, REAL6 = ("192.0.2.7", 443), ("2001:db8::7", 443, 0, 0)
FAKE4, FAKE6 = ("198.18.0.7", 443), ("fc00::7", 443, 0, 0)


@pytest.mark.parametrize(
    ("error", "seen_as", "told"),
    [
        ((AF_INET, 3, 3, 0, REAL4), FAKE4, (AF_INET, 3, 3, 0, FAKE4)),
        ((AF_INET6, 2, 0, 1280, REAL6), FAKE6, (AF_INET6, 2, 0, 1280, FAKE6)),
        ((AF_INET, 3, 3, 0, REAL4), FAKE6, (AF_INET6, 1, 4, 0, FAKE6)),
        ((AF_INET6, 1, 4, 0, REAL6), FAKE4, (AF_INET, 3, 3, 0, FAKE4)),
        ((AF_INET, 3, 4, 1400, REAL4), FAKE6, (AF_INET6, 2, 0, 1420, FAKE6)),
        ((AF_INET6, 2, 0, 1400, REAL6), FAKE4, (AF_INET, 3, 4, 1380, FAKE4)),
        ((AF_INET, 5, 1, 0, REAL4), FAKE6, None),
    ],
)
def test_errors_keep_their_meaning(error: Any, seen_as: Any, told: Any) -> None:
    assert about(seen_as, Error(*error)) == (Error(*told) if told else None)
