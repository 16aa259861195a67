"""The golden rulesets are what nft(8) reads, what it lists again, and what is installed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

import bed
from cgtproxy.nft.kernel import NfTables
from cgtproxy.nft.model import TABLE
from cgtproxy.nft.plan import Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.state import State, diff
from golden.cases import CASES, NAMES, Case


@pytest.fixture(params=CASES, ids=NAMES)
def case(request: pytest.FixtureRequest, cgroup: bed.MakeCgroup) -> Iterator[Case]:
    """A golden case whose cgroups are there."""
    for path in request.param.cgroups:
        cgroup(path)
    yield request.param
    bed.reset()


def identify(path: bytes) -> int:
    return os.stat(b"/sys/fs/cgroup" + path).st_ino


def listing() -> str:
    """Our table as nft lists it, but for whose it is. The root has a name nft can read, too."""
    text = bed.nft_listing("table", "inet", TABLE)
    text = re.sub(r"\{ # progname .*\n\tflags owner.*\n\n", "{\n", text)
    return text.replace(f" {identify(b'/')} : ", ' "/" : ')


def test_nft_reads_what_is_printed_and_what_it_lists(case: Case) -> None:
    bed.run("nft", "--check", "--file", str(case.ruleset))
    bed.run("nft", "--file", str(case.ruleset))
    loaded = listing()
    bed.reset()
    bed.nft(loaded)
    assert listing() == loaded


def test_what_is_printed_is_what_is_installed(case: Case) -> None:
    bed.run("nft", "--file", str(case.ruleset))
    printed = listing()
    bed.reset()
    tree, plan = case.tree(identify), Plan(case.config)
    printable = {
        cgroup.id: plan.dispatches[cgroup.decision]
        for cgroup in tree.root.walk()
        if cgroup.id in tree.elements and b"unreadable" not in cgroup.name
    }
    wanted = State(build(plan, tree.levels), printable, tree.ancestors)
    with closing(NfTables()) as nftables:
        nftables.commit(diff(wanted, State()))
        installed = listing()
        nftables.remove()
    assert installed == printed
