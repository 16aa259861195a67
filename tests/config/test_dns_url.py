"""The URLs of DNS servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.dns.url import parse_dns_upstream
from cgtproxy.config.model import SYSTEM, DnsUpstream


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("system://", SYSTEM),
        ("udp://192.0.2.1", DnsUpstream("udp", "192.0.2.1", 53)),
        ("tcp://dns.example:5353/", DnsUpstream("tcp", "dns.example", 5353)),
        ("tls://[2001:DB8::0]", DnsUpstream("tls", "2001:db8::", 853)),
        ("https://dns.example", DnsUpstream("https", "dns.example", 443, "/dns-query")),
        ("https://dns.example/", DnsUpstream("https", "dns.example", 443, "/")),
        ("https://[::1]:8443/a/b%20c", DnsUpstream("https", "::1", 8443, "/a/b%20c")),
    ],
)
def test_urls(url: str, wanted: DnsUpstream) -> None:
    assert parse_dns_upstream(url) == wanted
    assert parse_dns_upstream(str(wanted)) == wanted


@pytest.mark.parametrize(
    "url",
    [
        *("", "system", "system:/", "system://h", "udp://", "udp://:53", "h", "192.0.2.1"),
        *("udp://h:0", "udp://h:65536", "udp://h:x", "udp://h/x", "tls://h?x", "https://h?dns"),
        *("https://h#x", "https://u@h", "tcp://u:p@h", "quic://h", "udp://::1", "udp://[::1"),
        *("udp://a b", "https://h/a b", "udp://h\n", "socks5://h", "udp://[h]"),
    ],
)
def test_what_is_no_url_of_a_dns_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_dns_upstream(url)


@given(st.text("udptclshtystem:/@[].%?=&#0a ", max_size=30))
def test_any_text_is_a_dns_server_or_a_value_error(url: str) -> None:
    try:
        parse_dns_upstream(url)
    except ValueError:
        return
