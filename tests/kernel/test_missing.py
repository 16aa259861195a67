"""What the kernel lacks is told with what to do about it."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import pytest

import bed
from cgtproxy.config.parser import parse
from cgtproxy.engine.goal import Goal
from cgtproxy.errors import CgtproxyError
from cgtproxy.nft.kernel import NfTables
from cgtproxy.nft.state import Change
from cgtproxy.runtime.netlink.socket import NetlinkError

PROGRAMS = Path(bed.__file__).parent / "programs"
HIJACKING = {"first": {**bed.configuration.FIRST["first"], "dns-hijack": {}}}


def test_without_cgroup_v2() -> None:
    hidden = ("unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup && exec "$@"', "sh")
    daemon = bed.Daemon(bed.config())
    ended = bed.cgtproxy("-c", str(daemon.config), wrapper=hidden)
    assert ended.returncode == 69
    assert "no cgroup v2 file system is mounted; boot with" in ended.stderr


@pytest.mark.parametrize("command", [(), ("check", "permission")])
def test_without_nftables(command: tuple[str, ...]) -> None:
    daemon = bed.Daemon(bed.config())
    wrapper = (sys.executable, str(PROGRAMS / "without_nfnetlink.py"))
    ended = bed.cgtproxy(*command, "-c", str(daemon.config), wrapper=wrapper)
    assert ended.returncode == 69
    assert "no nfnetlink; it needs CONFIG_NF_TABLES: try `modprobe nf_tables`" in ended.stderr


@pytest.mark.parametrize(
    ("statement", "module"),
    [
        ("tproxy to", "nft_tproxy"),
        ("socket cgroupv2", "nft_socket"),
        ("dnat ", "nft_nat"),
        ("reject", "nft_reject_inet"),
    ],
)
def test_without_a_module_of_nftables(
    monkeypatch: pytest.MonkeyPatch, statement: str, module: str
) -> None:
    """All is real but the refusal: this kernel has them all."""

    def refuse(messages: Any, names: Any) -> None:
        seq = next(number for number, name in enumerate(names) if statement in name)
        raise NetlinkError(errno.ENOENT, seq, "", names[seq])

    table = Goal(parse(bed.config(tproxies=HIJACKING), "file").config).table((0, 1))
    nftables = NfTables()
    monkeypatch.setattr(nftables._socket, "request", refuse)
    with pytest.raises(CgtproxyError) as caught:
        nftables.commit(Change(table=table))
    assert statement in caught.value.message
    assert caught.value.hint == f"the kernel needs the module {module}: try `modprobe {module}`"
    assert caught.value.exit_code == 69
