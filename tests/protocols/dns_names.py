"""dnspython's names as ours are."""

from __future__ import annotations

import dns.name


def escaped(name: dns.name.Name) -> str:
    """With all three digits, and for more bytes than dnspython's."""
    plain = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
    labels = (
        "".join(chr(b) if b in plain else f"\\{b:03}" for b in label.lower())
        for label in name.labels[:-1]
    )
    return ".".join(labels)
