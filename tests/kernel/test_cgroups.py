"""Cgroups of every name, depth and number, coming and going: none is lost, none is stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bed

ROOT = Path("/sys/fs/cgroup")
RULES = bed.endings.RULES


def wait_settled(timeout: float = 20) -> dict[int, str]:
    wanted = bed.endings.wanted()
    bed.wait_until(lambda: bed.verdicts() == wanted, "the map to be as the tree is", timeout)
    assert bed.ancestors() == bed.endings.ancestors(wanted)
    return wanted


def watches(daemon: bed.Daemon) -> int:
    """How many inotify watches it has."""
    return sum(
        info.read_text().count("inotify wd")
        for info in Path(f"/proc/{daemon.pid}/fdinfo").iterdir()
    )


@pytest.mark.parametrize(
    "name",
    [
        b"a b",
        b"'\"",
        b"\\x2d\\\\",
        b"$(reboot);`",
        b"{}*?[]~#&|<>",
        b"\xff\xfe\x80",
        "héé→🦊".encode(),
        bytes(byte for byte in range(1, 256) if chr(byte) not in "\n/."),
        b".. ",
        b"@system.slice:x=%s,-+",
    ],
    ids=ascii,
)
def test_a_name_may_hold_any_byte(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup, name: bytes
) -> None:
    early = cgroup(b"early/" + name[:249] + b"proxy")
    with bed.Daemon(bed.config({"^/[^/]+/.*proxy$": "first"})) as daemon:
        late = cgroup(b"late/" + name[:249] + b"proxy")
        assert bed.paths(early) == bed.paths(late) == bed.everywhere("tproxy")
        assert bed.verdicts() == {early.id: "continue", late.id: "continue"}
        late.remove()
        bed.wait_until(lambda: bed.verdicts() == {early.id: "continue"}, "its element to go")
        assert "Traceback" not in daemon.output


def test_a_name_may_be_as_long_as_the_kernel_lets_it(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    with bed.Daemon(bed.config(RULES)):
        assert bed.paths(cgroup("x" * 250 + "proxy")) == bed.everywhere("tproxy")


def test_bytes_that_are_no_text_are_one_character_for_a_pattern(cgroup: bed.MakeCgroup) -> None:
    with bed.Daemon(bed.config({"^/.drop$": "drop", "^/..é$": "drop"})):
        made = cgroup(b"\xffdrop"), cgroup(b"\xff\xfe\xc3\xa9")
        wanted = {one.id: "return" for one in made}
        bed.wait_until(lambda: bed.verdicts() == wanted, "both elements")


def test_more_levels_than_nftables_can_tell(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """`socket cgroupv2 level` ends at 255; what is deeper follows the ancestor there."""
    names = ["l"] * 320
    names[200], names[300] = "proxy", "drop"
    with bed.Daemon(bed.config(RULES)) as daemon:
        deepest = cgroup("/".join(names))
        assert bed.paths(deepest) == bed.everywhere("tproxy")
        assert bed.verdicts() == {bed.Cgroup("/".join(names[:201])).id: "continue"}
        assert "Traceback" not in daemon.output


def test_paths_longer_than_a_path_may_be(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """What is beyond PATH_MAX has no name that a system call takes; it follows its ancestor."""
    top = cgroup("proxy")
    step = "n" * 200
    make = [sys.executable, str(bed.PROGRAMS / "nest.py"), *[step] * 40, "drop"]
    clean = "find . -depth -mindepth 1 -type d -execdir rmdir {} \\;"
    with bed.Daemon(bed.config(RULES)) as daemon:
        subprocess.run(make, cwd=top.directory, check=True)
        deep = cgroup("proxy/" + "/".join([step] * 15) + "/late")
        assert bed.paths(deep) == bed.everywhere("tproxy")
        assert bed.verdicts() == {top.id: "continue"}
        deep.remove()
        subprocess.run(clean, shell=True, cwd=top.directory, check=True)
        assert bed.paths(cgroup("late-proxy")) == bed.everywhere("tproxy")
        assert "Traceback" not in daemon.output


def test_chains_made_at_once(cgroup: bed.MakeCgroup) -> None:
    cgroup("chains")
    with bed.Daemon(bed.config(RULES)):
        for number in range(200):
            chain = "/".join(("a", "drop", "b", "proxy", "c", "direct", "d", "drop"))
            (ROOT / "chains" / str(number) / chain).mkdir(parents=True)
        assert len(wait_settled()) == 800


def test_removed_and_made_again_under_the_same_name(
    tproxy_server: bed.Responder, cgroup: bed.MakeCgroup
) -> None:
    """It is another cgroup then; so are those inside, of which the first watch knows nothing."""
    cgroup("again")
    outer, inner = ROOT / "again/x", ROOT / "again/x/drop"
    with bed.Daemon(bed.config(RULES)):
        for rounds in (1, 2, 3, 10, 300, 1000):
            for _ in range(rounds):
                inner.mkdir(parents=True)
                inner.rmdir()
                outer.rmdir()
            inner.mkdir(parents=True)
            assert wait_settled() == {inner.stat().st_ino: "return"}
            late = outer / "proxy"
            late.mkdir()
            wait_settled()
            late.rmdir()
            assert wait_settled() == {inner.stat().st_ino: "return"}
            inner.rmdir()
            outer.rmdir()
        assert wait_settled() == {}


def test_five_thousand_come_and_go(tproxy_server: bed.Responder, cgroup: bed.MakeCgroup) -> None:
    cgroup("many")
    names = [f"{number}{('drop', 'proxy', 'direct', 'none')[number % 4]}" for number in range(5000)]
    for name in names[:1000]:
        (ROOT / "many" / name).mkdir()
    with bed.Daemon(bed.config(RULES), env={"LOG_LEVEL": "info"}) as daemon:
        assert bed.verdicts() == bed.endings.wanted()
        few = watches(daemon)
        for name in names[1000:]:
            (ROOT / "many" / name).mkdir()
        assert len(wait_settled()) == 2500
        assert bed.paths(cgroup("late-proxy")) == bed.everywhere("tproxy")
        for name in names:
            (ROOT / "many" / name).rmdir()
        assert len(wait_settled()) == 1
        assert watches(daemon) < few - 900  # the kernel does not end them by itself


def test_cgroups_that_vanish_while_they_are_looked_at(cgroup: bed.MakeCgroup) -> None:
    churn = [sys.executable, str(bed.PROGRAMS / "churn.py"), f"{ROOT}/churn"]
    cgroup("churn")
    kept = cgroup("kept/drop")
    with bed.Daemon(bed.config(RULES), env={"LOG_LEVEL": "info"}) as daemon:
        few = watches(daemon)
        assert subprocess.run(churn, check=False).returncode == 0
        assert wait_settled() == {kept.id: "return"}
        assert watches(daemon) == few
        assert not [line for line in daemon.lines if "WARNING" in line or "ERROR" in line]


def test_a_level_that_no_app_is_on_any_more_is_given_up(cgroup: bed.MakeCgroup) -> None:
    def looked_up() -> bool:
        return "level 1 " in bed.nft_listing("chain", "inet", "cgtproxy", "cgroups")

    with bed.Daemon(bed.config()):
        assert not looked_up()
        with bed.Cgroup("proxy"):
            bed.wait_until(looked_up, "the level's rule to come")
        bed.wait_until(lambda: not looked_up(), "the level's rule to go")
