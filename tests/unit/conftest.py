from __future__ import annotations

import pytest

from cgtproxy.proxy.fakeip import store


@pytest.fixture
def written_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are not written before a test says so."""
    monkeypatch.setattr(store, "PAUSE", 1e6)
