"""Addresses as text."""

from __future__ import annotations

import pytest

from cgtproxy.proxy.io.addresses import is_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:192.0.2.1", True),
        ("", False),
        ("127.1", False),  # to inet_aton(3) it is one
        ("0x7f.0.0.1", False),
        ("192.0.2.1.", False),
        ("[::1]", False),
        ("192.0.2.0/24", False),
        ("www.example", False),
    ],
)
def test_what_is_an_address(text: str, expected: bool) -> None:
    assert is_address(text) == expected
