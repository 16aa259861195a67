from __future__ import annotations

import pytest

from cgtproxy.config.faults import ConfigError
from cgtproxy.config.parser import parse
from config.texts import Faults


@pytest.fixture
def faults() -> Faults:
    """All faults of a text, as printed for a file called `f`."""

    def of(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            parse(text, "f")
        printed = str(caught.value).split("\n")
        assert printed == [str(fault) for fault in caught.value.faults]
        return printed

    return of


@pytest.fixture
def warnings() -> Faults:
    """All warnings of a valid text, as printed for a file called `f`."""
    return lambda text: [str(fault) for fault in parse(text, "f").warnings]
