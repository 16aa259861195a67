"""The least the kernel must know tells it of every cgroup what the rules tell."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cgtproxy.cgroup.tree import DEEPEST_LEVEL, Cgroup, Tree
from cgtproxy.config.model import DIRECT, DROP, Decision, Rule
from cgtproxy.policy import Policy
from unit.configurations import Decided, ancestors

PROXY, OTHER = Decision("tproxy", "a"), Decision("tproxy", "b")
TARGETS = st.sampled_from([DIRECT, DROP, PROXY, OTHER])
NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff", b"x.scope"])
PATTERNS = st.sampled_from(
    ["a", "b$", "^/c", "x.scope", "^/a/b", "/.*/", "^/$", "", "\\.", "\ufffd"]
)
POLICIES = st.lists(st.builds(Rule, PATTERNS, TARGETS), max_size=4).map(Policy)


def by_the_kernel(tree: Tree, cgroup: Cgroup) -> Decision:
    """What the map in the kernel tells: the nearest element at or above, else nothing."""
    above = (tree.elements[c.id] for c in ancestors(cgroup) if c.id in tree.elements)
    return next(above, DIRECT)


def by_the_rules(policy: Policy, cgroup: Cgroup) -> Decision:
    """The first rule that matches it, else of its parent, and so on."""
    for each in ancestors(cgroup):
        if (index := policy.match(each.path)) is not None:
            return policy.rules[index].decision
    return DIRECT


class Trees(RuleBasedStateMachine):
    """Cgroups come, go and are decided on anew, and a kernel is told of what was touched."""

    cgroups = Bundle("cgroups")

    def __init__(self) -> None:
        super().__init__()
        self.policy: Policy = Policy([])
        self.tree = Tree(self.policy, 1)
        self.alive = {b"/": self.tree.root}
        self.last_id = 1
        self.kernel: dict[int, Decision] = {}
        self.kernel_ancestors: set[int] = set()

    @rule(parent=st.none() | cgroups, name=NAMES, target=cgroups)
    def appear(self, parent: Cgroup | None, name: bytes) -> Cgroup:
        parent = parent or self.tree.root
        path = parent.prefix + name
        if not parent.alive or path in self.alive:
            return parent
        self.last_id += 1
        cgroup = self.tree.appear(parent, name, self.last_id)
        self.alive[path] = cgroup
        assert (cgroup.path, cgroup.level) == (path, parent.level + 1)
        return cgroup

    @rule(cgroup=consumes(cgroups))
    def vanish(self, cgroup: Cgroup) -> None:
        if not cgroup.alive or cgroup is self.tree.root:
            return
        self.tree.vanish(cgroup)
        for path in [p for p in self.alive if (p + b"/").startswith(cgroup.path + b"/")]:
            assert not self.alive.pop(path).alive

    @rule(policy=POLICIES)
    def redecide(self, policy: Policy) -> None:
        self.policy = policy
        self.tree.redecide(policy)

    @rule()
    def tell_the_kernel(self) -> None:
        """Of nothing but what was touched."""
        for key, cgroup in self.tree.touched.items():
            assert cgroup.id == key
            self.kernel.pop(key, None)
            if key in self.tree.elements:
                self.kernel[key] = self.tree.elements[key]
            self.kernel_ancestors.discard(key)
            if key in self.tree.ancestors:
                self.kernel_ancestors.add(key)
        self.tree.touched.clear()
        assert self.kernel == self.tree.elements
        assert self.kernel_ancestors == self.tree.ancestors

    @invariant()
    def the_minimal_map_tells_what_the_rules_tell(self) -> None:
        for cgroup in self.alive.values():
            assert cgroup.alive
            assert cgroup.decision == by_the_rules(self.policy, cgroup)
            assert by_the_kernel(self.tree, cgroup) == cgroup.decision

    @invariant()
    def it_is_minimal_and_of_living_cgroups(self) -> None:
        living = {cgroup.id: cgroup for cgroup in self.alive.values()}
        assert self.tree.elements.keys() <= living.keys()
        for key, target in self.tree.elements.items():
            parent = living[key].parent
            assert target != (parent.decision if parent else DIRECT)

    @invariant()
    def ancestors_are_those_with_elements_below_them(self) -> None:
        living = {cgroup.id: cgroup for cgroup in self.alive.values()}
        above = (each.id for key in self.tree.elements for each in ancestors(living[key])[1:-1])
        assert self.tree.ancestors == set(above)

    @rule()
    def trim(self) -> None:
        left = set(self.tree.levels)
        assert self.tree.trim() == (left != set(self.tree.levels))
        living = {cgroup.id: cgroup for cgroup in self.alive.values()}
        assert set(self.tree.levels) == {living[key].level for key in self.tree.elements}

    @invariant()
    def it_knows_its_levels_and_size(self) -> None:
        living = {cgroup.id: cgroup for cgroup in self.alive.values()}
        levels = {living[key].level for key in self.tree.elements}
        assert levels <= set(self.tree.levels)
        assert list(self.tree.levels) == sorted(set(self.tree.levels))
        assert self.tree.size == len(self.alive) == len(list(self.tree.root.walk()))


TestTrees = Trees.TestCase
TestTrees.settings = settings(max_examples=150, stateful_step_count=25)


@given(st.lists(st.none() | TARGETS, min_size=1, max_size=12))
def test_each_cgroup_is_decided_once(targets: list[Decision | None]) -> None:
    """A line of cgroups, one in the other; None follows its parent."""
    path = b""
    decided: dict[bytes, Decision] = {}
    for target in targets[1:]:
        path += b"/a"
        decided |= {path: target} if target else {}
    tree = Tree(Decided(decided), 1)
    cgroup = tree.root
    for number in range(2, len(targets) + 1):
        cgroup = tree.appear(cgroup, b"a", number)
    assert [c.level for c in tree.decided] == list(range(len(targets)))
    tree.decided.clear()
    tree.redecide(Decided(decided))
    assert len(tree.decided) == len(targets)


def test_a_rule_on_the_root_decides_for_all() -> None:
    tree = Tree(Policy([Rule("", PROXY)]), 7)
    child = tree.appear(tree.root, b"a", 8)
    assert (tree.elements, tree.levels, child.decision) == ({7: PROXY}, (0,), PROXY)


def test_levels_count_from_the_root_of_the_namespace() -> None:
    tree = Tree(Policy([Rule("/a$", DROP)]), 1, root_level=3)
    tree.appear(tree.root, b"a", 2)
    assert tree.levels == (4,)


def test_what_is_deeper_than_nftables_can_look_follows_its_ancestor() -> None:
    tree = Tree(Policy([Rule(f"^(/a){{{DEEPEST_LEVEL}}}$", PROXY), Rule("/b", DROP)]), 1)
    cgroup = tree.root
    for number in range(DEEPEST_LEVEL):
        cgroup = tree.appear(cgroup, b"a", number + 2)
    below = tree.appear(cgroup, b"b", 1000)
    deeper = tree.appear(below, b"c", 1001)
    assert tree.levels == (DEEPEST_LEVEL,)
    assert tree.elements == {DEEPEST_LEVEL + 1: PROXY}
    assert by_the_kernel(tree, deeper) == PROXY
    tree.vanish(tree.root.children[b"a"])
    assert (tree.elements, tree.levels, tree.size) == ({}, (DEEPEST_LEVEL,), 1)
    assert tree.trim()
    assert not tree.levels


def test_a_tree_may_be_deeper_than_the_stack() -> None:
    tree = Tree(Policy([]), 1)
    cgroup = tree.root
    for number in range(5000):
        cgroup = tree.appear(cgroup, b"a", number + 2)
    tree.redecide(Policy([Rule("", DROP)]))
    assert cgroup.decision == DROP
    tree.vanish(tree.root.children[b"a"])
    assert tree.size == 1
    assert not cgroup.alive


def test_a_name_that_comes_back_is_another_cgroup() -> None:
    tree = Tree(Policy([Rule("a", DROP)]), 1)
    first = tree.appear(tree.root, b"a", 2)
    tree.vanish(first)
    tree.appear(tree.root, b"a", 3)
    assert tree.elements == {3: DROP}
    assert tree.touched.keys() == {2, 3}
