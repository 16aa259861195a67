"""The cgroups that are there now, read once."""

from __future__ import annotations

import os

from cgtproxy.cgroup.mount import Root
from cgtproxy.cgroup.tree import Policy, Tree


def scan(root: Root, policy: Policy) -> Tree:
    """What cannot be read, or goes meanwhile, is left out."""
    tree = Tree(policy, os.stat(root.path).st_ino, root.level)
    pending = [tree.root]
    while pending:
        parent = pending.pop()
        try:
            with os.scandir(root.path + parent.path) as entries:
                found = [(e.name, e.inode()) for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        pending += [tree.appear(parent, name, cgroup_id) for name, cgroup_id in sorted(found)]
    return tree
