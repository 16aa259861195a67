"""The keys of the built-in server."""

from __future__ import annotations

import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.config.faults import ConfigError
from cgtproxy.config.model import Server, Upstream, Workers
from cgtproxy.config.parser import parse
from cgtproxy.config.schemes import DIRECT, DROP, HTTP, HTTPS, SCHEMES, SOCKS5, Scheme
from cgtproxy.config.url import parse_upstream
from config.texts import HEAD

SECRET = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def server(keys: str) -> Server | None:
    text = f"{HEAD}tproxies:\n  t: {{port: 1, mark: 1, {keys}}}\n"
    return parse(text, "f").config.tproxies[0].server


def test_without_an_upstream_the_server_is_somebody_elses() -> None:
    assert server("on-down: direct") is None


def test_all_keys() -> None:
    wanted = Server(
        (Upstream(DIRECT), Upstream(SOCKS5, "::1", 1080)), "round-robin", "direct", "direct", 0
    )
    keys = "select: round-robin, on-down: direct, udp: direct, health-check: 0"
    assert server(f"upstream: [direct://, 'socks5://[::1]'], {keys}") == wanted
    assert server("upstream: drop://") == Server((Upstream(DROP),))


def test_workers() -> None:
    keys = "{mark: 5, count: 3, connect-timeout: 1, idle-timeout: 2, udp-timeout: 4, pipes: 0}"
    assert parse(f"{HEAD}workers: {keys}", "f").config.workers == Workers(5, 3, 1, 2, 4, pipes=0)
    assert parse(HEAD, "f").config.limits == Workers()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("socks5://proxy.example", Upstream(SOCKS5, "proxy.example", 1080)),
        ("http://10.0.0.1:3128/", Upstream(HTTP, "10.0.0.1", 3128)),
        ("https://[2001:DB8::0]:8443", Upstream(HTTPS, "2001:db8::", 8443)),
        ("socks5://a:b%40%3A%2F@h", Upstream(SOCKS5, "h", 1080, "a", "b@:/")),
        (
            "socks5://a@h?password-file=%2Frun%2Fp",
            Upstream(SOCKS5, "h", 1080, "a", password_file="/run/p"),
        ),
        (
            "https://a@h?password-credential=p&ca-file=/c",
            Upstream(HTTPS, "h", 443, "a", password_credential="p", ca_file="/c"),
        ),
    ],
)
def test_urls(text: str, wanted: Upstream) -> None:
    assert parse_upstream(text) == wanted


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=str)
def test_a_scheme_is_the_same_one_for_another_process(scheme: Scheme) -> None:
    assert pickle.loads(pickle.dumps(Upstream(scheme))).scheme is scheme


@given(SECRET, SECRET)
def test_any_user_and_password_can_be_percent_encoded(user: str, password: str) -> None:
    text = f"socks5://{quote(user, safe='')}:{quote(password, safe='')}@[::1]:5"
    upstream = parse_upstream(text)
    assert (upstream.user, upstream.password) == (user, password)
    assert str(upstream) == "socks5://[::1]:5"
    assert repr(upstream) == repr(upstream._replace(password=""))


@pytest.mark.parametrize(
    "text",
    [
        *("", "direct", "direct:", "ftp://h", "socks4://h:1", "socks5://", "socks5://:1080"),
        *("socks5://h:0", "socks5://h:65536", "socks5://h:x", "socks5://h/x", "socks5://h#x"),
        *("direct://h", "drop://x", "socks5://h?x=1", "socks5://h?ca-file=/x", "http://h h"),
        *("socks5://:p@h", f"socks5://{'u' * 256}@h", "socks5://[::1", "socks5://[fe80::x]"),
        *("socks5://a:b@h?password-file=/x", "socks5://h?password-file=", "socks5://%ff@h"),
        *("socks5://a@h?password-credential=../x", "http://a..b/c", "socks5://[h]"),
    ],
)
def test_what_is_no_upstream(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_upstream(text)


@given(st.text("socks5http:/direct@[].%?=&#0a ", max_size=40))
def test_any_text_is_an_upstream_or_a_value_error(text: str) -> None:
    try:
        parse_upstream(text)
    except ValueError:
        return


def test_a_fault_does_not_show_the_password() -> None:
    with pytest.raises(ConfigError) as caught:
        server("upstream: 'socks5://a:hunter2@h:99999'")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "keys", ["upstream: []", "upstream: 5", "upstream: [5]", "udp: x", "health-check: -1"]
)
def test_faults(keys: str) -> None:
    with pytest.raises(ConfigError, match=rf"tproxies\.t\.{keys.split(':')[0]}"):
        server(keys)


@pytest.mark.parametrize("workers", ["", "workers: {mark: 713}\n"])
def test_the_servers_own_mark_must_not_redirect(workers: str) -> None:
    tproxies = "tproxies:\n  t: {port: 1, mark: 713, upstream: direct://}\n"
    with pytest.raises(ConfigError, match=r"713 is the mark of tproxies\.t on line"):
        parse(HEAD + workers + tproxies, "f")


def test_the_servers_own_mark() -> None:
    tproxy = "tproxies:\n  t: {port: 1, mark: 1}\n"
    assert parse(HEAD + tproxy, "f").config.own_mark is None
    assert parse(HEAD + tproxy + "workers: {}\n", "f").config.own_mark == 713
    assert parse(HEAD + tproxy[:-2] + ", upstream: direct://}", "f").config.own_mark == 713


@pytest.mark.parametrize(
    ("upstream", "fault"),
    [
        ("upstream: 'direct://', ", r"b\.port: 7 is the port of tproxies\.a on line 5 too"),
        ("", ""),  # the server of `a` has the traffic of both
    ],
)
def test_two_servers_on_one_port(upstream: str, fault: str) -> None:
    text = f"""version: 1
cgroup-root: AUTO
route-table: 300
tproxies:
  a: {{port: 7, mark: 1, upstream: 'drop://'}}
  b: {{{upstream}port: 7, mark: 2}}
"""
    if not fault:
        parse(text, "f")
        return
    with pytest.raises(ConfigError, match=fault):
        parse(text, "f")
