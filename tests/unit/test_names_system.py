"""resolv.conf and hosts: what they say, and that they are read again."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgtproxy.proxy.names import system


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", []),
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("# nameserver 192.0.2.9\n;nameserver 192.0.2.9\n", []),
        ("nameserver\t192.0.2.1  # the router\n", ["192.0.2.1"]),
        ("nameserver\nnameserver nonsense\nnameservers 192.0.2.1\n", []),
        ("nameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
    ],
)
def test_the_servers_of_resolv_conf(text: str, servers: list[str]) -> None:
    assert system.parse_servers(text) == servers


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("nameserver 192.0.2.1\n", []),
        ("search a.example b.example.\n", ["a.example", "b.example"]),
        ("search a.example\ndomain b.example\n#search c.example\n", ["b.example"]),
        ("search .\n", []),
        ("search\n", []),
    ],
)
def test_the_search_list_of_resolv_conf(text: str, domains: list[str]) -> None:
    assert system.parse_domains(text) == domains


def test_the_names_in_hosts() -> None:
    text = """
        127.0.0.1 localhost
        ::1 localhost ip6-localhost  # twice
        192.0.2.7\tProxy.Example. proxy
        192.0.2.8 proxy
        192.0.2.8 proxy
        nonsense example.com
        192.0.2.9
    """
    assert system.parse_hosts(text) == {
        "localhost": ["127.0.0.1", "::1"],
        "ip6-localhost": ["::1"],
        "proxy.example": ["192.0.2.7"],
        "proxy": ["192.0.2.7", "192.0.2.8"],
    }


@given(st.text())
def test_any_text_gives_addresses_only(text: str) -> None:
    for address in system.parse_servers(text):
        ip_address(address)
    for addresses in system.parse_hosts(text).values():
        for address in addresses:
            ip_address(address)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, parse in (
        ("_resolv_conf", system.parse_servers),
        ("_domains", system.parse_domains),
        ("_uplink_resolv_conf", system.parse_servers),
        ("_hosts", system.parse_hosts),
    ):
        monkeypatch.setattr(system, name, system._File(tmp_path / name, parse))
    return tmp_path


def test_a_changed_file_is_read_again(files: Path) -> None:
    assert system.servers() == ["127.0.0.1"]
    assert system.hosts("a.example") == []
    (files / "_resolv_conf").write_text("nameserver 192.0.2.1\n")
    (files / "_hosts").write_text("192.0.2.7 a.example\n")
    assert (system.servers(), system.hosts("A.Example.")) == (["192.0.2.1"], ["192.0.2.7"])
    (files / "_resolv_conf").write_text("nameserver 192.0.2.22\n")
    (files / "_hosts").unlink()
    assert (system.servers(), system.hosts("a.example")) == (["192.0.2.22"], [])


def test_the_servers_behind_systemd_resolved(files: Path) -> None:
    (files / "_resolv_conf").write_text("nameserver 127.0.0.53\n")
    assert system.servers() == ["127.0.0.53"]
    (files / "_uplink_resolv_conf").write_text("nameserver 192.0.2.1\n")
    assert system.servers() == ["192.0.2.1"]
    (files / "_resolv_conf").write_text("nameserver 127.0.0.53\nnameserver 192.0.2.2\n")
    assert system.servers() == ["127.0.0.53", "192.0.2.2"]


def test_localhost_is_known_everywhere(files: Path) -> None:
    assert system.hosts("localhost") == ["127.0.0.1", "::1"]
    (files / "_hosts").write_text("127.0.0.1 localhost\n")
    assert system.hosts("localhost") == ["127.0.0.1"]


def test_single_labels_are_looked_for_in_domains(files: Path) -> None:
    assert system.candidates("proxy") == ["proxy"]
    (files / "_domains").write_text("search a.example b.example\n")
    assert system.candidates("proxy") == ["proxy.a.example", "proxy.b.example", "proxy"]
    assert system.candidates("proxy.example") == ["proxy.example"]
    (files / "_hosts").write_text("192.0.2.7 proxy\n")
    assert system.candidates("proxy") == ["proxy"]
