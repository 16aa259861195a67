"""The schemes of upstream URLs: what there is to know of each, but for its handshakes.

A new scheme is one row here, and one of `HANDSHAKES` in `proxy/upstreams/schemes.py` with a machine
in `proxy/protocols/` that speaks it. No other module compares schemes, but with DIRECT and DROP,
which are no servers.
"""

from __future__ import annotations

from enum import Enum, auto


class UdpSupport(Enum):
    """How datagrams get to their destination."""

    NONE = auto()
    NATIVE = auto()  # as they are
    ASSOCIATE = auto()  # by a UDP relay that is asked for over TCP (RFC 1928, section 7)


class Scheme:
    """`port` is the default one; 0 where there is no server to connect to.

    There is one object for each: that makes it quick to look upstreams up, as each connection does.
    """

    __slots__ = ("name", "port", "tls", "udp")

    def __init__(
        self, name: str, port: int = 0, udp: UdpSupport = UdpSupport.NONE, *, tls: bool = False
    ) -> None:
        self.name = name
        self.port = port
        self.udp = udp
        self.tls = tls

    def __repr__(self) -> str:
        return f"Scheme({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        # Also in a configuration that another process has read.
        return self.name.upper()

    @property
    def remote(self) -> bool:
        """Whether there is a server to connect to. It is told names, and looks them up at its end;
        without one they are looked up here."""
        return self.port > 0

    @property
    def greets_at_once(self) -> bool:
        """Whether a client may send its greeting before it knows that it is connected."""
        return self.remote and not self.tls

    @property
    def carries_udp(self) -> bool:
        """Whether datagrams get to their destination at all."""
        return self.udp is not UdpSupport.NONE


DIRECT = Scheme("direct", udp=UdpSupport.NATIVE)
DROP = Scheme("drop")
SOCKS5 = Scheme("socks5", 1080, UdpSupport.ASSOCIATE)
HTTP = Scheme("http", 80)
HTTPS = Scheme("https", 443, tls=True)

SCHEMES = {scheme.name: scheme for scheme in (DIRECT, DROP, SOCKS5, HTTP, HTTPS)}
