"""The bed proves itself, with rules written by hand in place of the daemon's."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import bed

MakeCgroup = Callable[[str | bytes], bed.Cgroup]
MARK = 0x66


@pytest.fixture
def redirect(request: pytest.FixtureRequest, cgroup: MakeCgroup) -> bed.Cgroup:
    """The cgroup /app, whose TCP and UDP goes by TPROXY to a port (the parameter)."""
    app = cgroup("app")
    bed.nft(f"""
        table inet by_hand {{
            chain output {{
                type route hook output priority mangle
                meta l4proto {{ tcp, udp }} socket cgroupv2 level 1 "app" meta mark set {MARK}
            }}
            chain prerouting {{
                type filter hook prerouting priority mangle
                meta mark {MARK} meta l4proto {{ tcp, udp }} tproxy to :{request.param}
            }}
        }}""")
    for family in ("-4", "-6"):
        bed.run("ip", family, "rule", "add", "fwmark", str(MARK), "lookup", "300")
        bed.run("ip", family, "route", "add", "local", "default", "dev", "lo", "table", "300")
    request.addfinalizer(bed.reset)
    return app


def test_everything_reaches_the_origin_when_there_are_no_rules(cgroup: MakeCgroup) -> None:
    seen = bed.probe(cgroup("app"), *bed.flows())
    assert {flow.name: outcome.by for flow, outcome in seen.items()} == bed.everywhere("origin")
    for flow, outcome in seen.items():
        assert outcome.local == (flow.host, 80)
        assert outcome.peer
        assert outcome.peer[0] == (bed.HOST6 if flow.name.endswith("6") else bed.HOST4)


def test_probes_tell_how_they_failed(cgroup: MakeCgroup) -> None:
    app = cgroup("app")
    assert bed.paths(app, port=9) == bed.everywhere("refused")
    bed.nft("""
        table inet by_hand {
            chain output { type filter hook output priority 0; th dport 9 drop; }
        }""")
    assert bed.paths(app, port=9, timeout=1) == bed.DROPPED
    bed.reset()
    bed.run("ip", "route", "add", "unreachable", "203.0.113.0/24")
    assert bed.paths(app, host4="203.0.113.1")["tcp4"] == "unreachable"
    bed.run("ip", "route", "del", "203.0.113.0/24")


@pytest.mark.parametrize("redirect", [bed.TPROXY_PORT], indirect=True)
def test_tproxy_keeps_the_original_destination(
    redirect: bed.Cgroup, cgroup: MakeCgroup, tproxy_server: bed.Responder
) -> None:
    seen = bed.probe(redirect, *bed.flows(443))
    assert {flow.name: outcome.by for flow, outcome in seen.items()} == bed.everywhere("tproxy")
    for flow, outcome in seen.items():
        assert outcome.local == (flow.host, flow.port)
    assert bed.paths(cgroup("other"), 443) == bed.everywhere("origin")


@pytest.mark.parametrize("redirect", [bed.SING_BOX_PORT], indirect=True)
def test_sing_box_carries_it_to_the_origin(redirect: bed.Cgroup, sing_box: bed.Program) -> None:
    seen = bed.probe(redirect, *bed.flows(), timeout=5)
    assert {flow.name: outcome.by for flow, outcome in seen.items()} == bed.everywhere("origin")
    peers = {flow.name: outcome.peer and outcome.peer[0] for flow, outcome in seen.items()}
    assert peers == {
        "tcp4": bed.PROXY4,
        "udp4": bed.PROXY4,
        "tcp6": bed.PROXY6,
        "udp6": bed.PROXY6,
    }
    assert all(outcome.local == (flow.host, 80) for flow, outcome in seen.items())


@pytest.mark.parametrize("redirect", [bed.TPROXY_PORT], indirect=True)
def test_prober_sees_a_change_of_the_path(
    redirect: bed.Cgroup, tproxy_server: bed.Responder
) -> None:
    with bed.Prober(redirect, *bed.flows()) as prober:
        before = prober.wait_rounds(5)
        bed.reset()
        after = prober.wait_rounds(5)
    assert {record.outcome.by for record in before} == {"tproxy"}
    assert {record.outcome.by for record in after} == {"origin"}
    assert {record.flow for record in after} == set(bed.flows())


def test_a_cgroup_may_have_any_name(cgroup: MakeCgroup) -> None:
    odd = cgroup(b"a b\t\\x\xff/\xc3\xa9")
    assert bed.paths(odd) == bed.everywhere("origin")
    sleeper = odd.spawn(["sleep", "infinity"])
    assert (odd.directory / "cgroup.procs").read_text() == f"{sleeper.pid}\n"
    odd.remove()
    assert sleeper.wait() == -signal.SIGKILL
    assert not odd.directory.parent.exists()


def test_oracles_see_what_is_there() -> None:
    assert bed.traces() == []
    bed.nft("add table inet by_hand; add map inet by_hand m { type mark : verdict; }")
    bed.nft("add element inet by_hand m { 7 : drop }")
    bed.run("ip", "-6", "rule", "add", "fwmark", "7", "lookup", "300", "priority", "9")
    bed.run("ip", "-6", "route", "add", "local", "default", "dev", "lo", "table", "300")
    assert "map m" in bed.nft_listing()
    assert bed.map_elements("m", table="by_hand") == {"7": {"drop": None}}
    assert [r["priority"] for r in bed.ip_rules(6)] == [0, 9, 32766]
    assert [(r["type"], r["dst"], r["dev"]) for r in bed.ip_routes(6, 300)] == [
        ("local", "default", "lo")
    ]
    assert bed.ip_routes(4, 300) == []
    assert len(bed.traces()) == 3
    bed.reset()
    assert bed.traces() == []


@pytest.mark.parametrize(
    "how", [None, signal.SIGTERM, signal.SIGKILL], ids=["exit", "term", "kill"]
)
def test_the_bed_leaves_nothing_behind(how: signal.Signals | None) -> None:
    """A bed in the bed; its cgroup is made beside ours, and goes with its last process."""
    script = "mkdir -p /sys/fs/cgroup/a/b; sleep infinity & echo up; "
    script += "exit 42" if how is None else "wait"
    nested = bed.Program([str(Path(bed.__file__).with_name("run")), "bash", "-c", script])
    nested.start()
    nested.wait_line("^up$")
    assert (nested.wait() if how is None else nested.stop(how)) == (42 if how is None else -how)
    root = Path("/sys/fs/cgroup")
    bed.wait_until(lambda: not [*root.glob("cgtproxy-bed.*")], "the nested bed's cgroups to go")
