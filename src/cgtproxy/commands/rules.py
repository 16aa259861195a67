"""`cgtproxy rules`: what would be installed, in nft's own syntax."""

from __future__ import annotations

import re

from cgtproxy import __version__
from cgtproxy.cgroup.mount import find
from cgtproxy.cgroup.scan import scan
from cgtproxy.cgroup.tree import Cgroup, Tree
from cgtproxy.commands.source import describe, load
from cgtproxy.nft.decision import ANCESTOR_SET, CGROUP_MAP
from cgtproxy.nft.plan import Plan
from cgtproxy.nft.ruleset import build
from cgtproxy.nft.text import Members, render
from cgtproxy.policy import Policy

# nft(8) finds cgroups by their path below this, and knows no other place.
NFT_ROOT = b"/sys/fs/cgroup"
NFT_PATH = re.compile(rb"[\x20\x21\x23-\x7e]{1,500}")  # its strings have no escapes: no `"` in them


def rules(config: str | None) -> int:
    """Print the ruleset for the cgroups that exist now; the exit code. Raises CgtproxyError."""
    parsed = load(config)
    root = find(parsed.config.cgroup_root)
    tree = scan(root, Policy(parsed.config.rules))
    plan = Plan(parsed.config)
    print(f"# cgtproxy {__version__}, {describe(config)}: {tree.size} cgroups")
    print("# The daemon's table has the flags owner and persist, where the kernel knows them.")
    print(ruleset(tree, plan, nameable=root.path == NFT_ROOT), end="")
    return 0


def ruleset(tree: Tree, plan: Plan, *, nameable: bool) -> str:
    """The text that `nft -f` loads; not `nameable`: nft does not find these cgroups by path."""
    return render(build(plan, tree.levels), _members(tree, plan, nameable=nameable))


def _members(tree: Tree, plan: Plan, *, nameable: bool) -> Members:
    members: Members = {}
    for cgroup in sorted(tree.root.walk(), key=lambda each: each.path):
        key, named = _key(cgroup, nameable)
        texts = []
        if cgroup.id in tree.elements:
            dispatch = plan.dispatches[cgroup.decision]
            texts = [(CGROUP_MAP, f"{key} : {dispatch.verdict}"), (dispatch.set_name, key)]
        if cgroup.id in tree.ancestors:
            texts.append((ANCESTOR_SET, key))
        for name, text in texts:
            if name:
                members.setdefault(name, []).append((named, text))
    return members


def _key(cgroup: Cgroup, nameable: bool) -> tuple[str, bool]:
    """The cgroup as nft reads it, and whether it can."""
    path = cgroup.path.lstrip(b"/") or b"/"
    if nameable and NFT_PATH.fullmatch(path):
        return f'"{path.decode()}"', True
    # Anybody may name a cgroup, and a terminal obeys control characters.
    shown = re.sub(rb"[^\x20-\x7e]", lambda byte: b"\\x%02x" % ord(byte[0]), cgroup.path).decode()
    return f"cgroup id {cgroup.id} ({shown})", False
