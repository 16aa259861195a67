"""A change as one netlink transaction: all of it, or nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache

from cgtproxy.nft import wire
from cgtproxy.nft.decision import ANCESTOR_SET, CGROUP_MAP
from cgtproxy.nft.model import TABLE, Chain, Element, Set, Table
from cgtproxy.nft.state import Change, Elements
from cgtproxy.runtime.netlink.wire import (
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    attribute,
    be32,
    nested,
    string,
)

HOOKS = {"prerouting": 0, "output": 3, "postrouting": 4}  # NF_INET_*
NF_ACCEPT = 1
# The type numbers by which nft(8) knows how to print a key (its enum datatypes), and the length.
KEYS = {
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "inet_proto": (12, 1),
    "mark": (19, 4),
    "cgroupsv2": (46, 8),
}
HOST_ENDIAN_KEYS = ("mark", "cgroupsv2")
UDATA_KEY_BYTEORDER = struct.pack("=BBI", 0, 4, 1)  # libnftnl's NFTNL_UDATA_SET_KEYBYTEORDER

FLAGS = {
    wire.MSG_NEWTABLE: NLM_F_CREATE,
    wire.MSG_NEWCHAIN: NLM_F_CREATE,
    wire.MSG_NEWRULE: NLM_F_CREATE | NLM_F_APPEND,
    wire.MSG_NEWSET: NLM_F_CREATE,
    wire.MSG_NEWSETELEM: NLM_F_CREATE,
}


_CGROUP_ID = struct.Struct("=Q")


@cache
def _map_element(verdict: str) -> tuple[bytes, bytes]:
    """An element of the cgroup map, encoded, before and after its id: 100,000 in 50 ms."""
    encoded = wire.element(_CGROUP_ID.pack(0), wire.verdict(verdict))
    begin = 12  # three attribute headers
    return encoded[:begin], encoded[begin + _CGROUP_ID.size :]


TABLE_NAME = f"table inet {TABLE}"  # in messages to people


class Batch:
    """Messages between a begin and an end, and a name for each to tell a refusal by."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, bytes]] = []
        self.names = ["the transaction"]

    def add(self, kind: int, body: bytes, name: str) -> None:
        """One message more; `name` is for people."""
        self._messages.append((kind, body))
        self.names.append(name)

    def encode(self) -> list[bytes]:
        """Sequence numbers are indices into `names`; the last change asks for the ACK."""
        last = len(self._messages)
        encoded = [_boundary(wire.MSG_BATCH_BEGIN, 0)]
        for seq, (kind, body) in enumerate(self._messages, 1):
            flags = NLM_F_REQUEST | FLAGS.get(kind, 0) | (NLM_F_ACK if seq == last else 0)
            encoded.append(wire.nft_message(kind, flags, body, seq))
        encoded.append(_boundary(wire.MSG_BATCH_END, last + 1))
        return encoded


def _boundary(kind: int, seq: int) -> bytes:
    subsystem = wire.NFNL_SUBSYS_NFTABLES
    return wire.nft_message(kind, NLM_F_REQUEST, b"", seq, resource=subsystem)


def batch(change: Change, *, table_flags: int, exists: bool) -> Batch:
    """`exists`: a table of this name is there; a change that has a table replaces it."""
    made = Batch()
    if change.table:
        if exists:
            _remove_table(made)
        _add_table(made, change.table, table_flags)
    _change_chains(made, change.chains, change.gone)
    _change_elements(made, wire.MSG_DELSETELEM, change.remove, change.remove_ancestors, "remove")
    _change_elements(made, wire.MSG_NEWSETELEM, change.add, change.add_ancestors, "add")
    return made


def removal() -> Batch:
    """What removes the table, which must be there."""
    made = Batch()
    _remove_table(made)
    return made


def _remove_table(made: Batch) -> None:
    made.add(wire.MSG_DELTABLE, string(wire.TABLE_NAME, TABLE), TABLE_NAME)


def _add_table(made: Batch, table: Table, flags: int) -> None:
    body = string(wire.TABLE_NAME, TABLE) + be32(wire.TABLE_FLAGS, flags)
    made.add(wire.MSG_NEWTABLE, body, TABLE_NAME)
    for chain in table.chains:
        made.add(wire.MSG_NEWCHAIN, _chain(chain), f"chain {chain.name}")
    for number, item in enumerate(table.sets, 1):
        made.add(wire.MSG_NEWSET, _set(item, number), f"set {item.name}")
    for item in table.sets:
        _add_elements(made, item.name, map(_element, item.elements))
    for chain in table.chains:
        _add_rules(made, chain)


def _chain(chain: Chain) -> bytes:
    body = string(wire.CHAIN_TABLE, TABLE) + string(wire.CHAIN_NAME, chain.name)
    if chain.hook is None:
        return body
    hook = nested(
        wire.CHAIN_HOOK,
        be32(wire.HOOK_NUM, HOOKS[chain.hook.name]),
        be32(wire.HOOK_PRIORITY, chain.hook.priority),
    )
    kind = string(wire.CHAIN_TYPE, chain.hook.kind)
    return body + hook + be32(wire.CHAIN_POLICY, NF_ACCEPT) + kind


def _change_chains(made: Batch, chains: Sequence[Chain], gone: Sequence[str]) -> None:
    """Chains must be there before rules lead to them, and may go when no rule does any more."""
    for chain in chains:
        if chain.hook is None:  # nothing happens to one that is there
            made.add(wire.MSG_NEWCHAIN, _chain(chain), f"chain {chain.name}")
    for chain in chains:
        _flush_chain(made, chain.name)
        _add_rules(made, chain)
    for name in gone:
        _flush_chain(made, name)
    for name in gone:
        body = string(wire.CHAIN_TABLE, TABLE) + string(wire.CHAIN_NAME, name)
        made.add(wire.MSG_DELCHAIN, body, f"chain {name}")


def _flush_chain(made: Batch, name: str) -> None:
    body = string(wire.RULE_TABLE, TABLE) + string(wire.RULE_CHAIN, name)
    made.add(wire.MSG_DELRULE, body, f"the rules of chain {name}")


def _add_rules(made: Batch, chain: Chain) -> None:
    head = string(wire.RULE_TABLE, TABLE) + string(wire.RULE_CHAIN, chain.name)
    for rule in chain.rules:
        body = nested(wire.RULE_EXPRESSIONS, *(statement.expressions for statement in rule))
        text = " ".join(statement.text for statement in rule)
        made.add(wire.MSG_NEWRULE, head + body, f"the rule `{text}` in chain {chain.name}")


def _set(item: Set, number: int) -> bytes:
    kind, length = KEYS[item.key]
    flags = wire.SET_F_CONSTANT * item.constant | wire.SET_F_INTERVAL * item.interval
    body = string(wire.SET_TABLE, TABLE) + string(wire.SET_NAME, item.name)
    if item.is_map:
        flags |= wire.SET_F_MAP
        body += be32(wire.SET_DATA_TYPE, wire.DATA_TYPE_VERDICT)
    if item.key in HOST_ENDIAN_KEYS:
        body += attribute(wire.SET_USERDATA, UDATA_KEY_BYTEORDER)
    return (
        body
        + be32(wire.SET_FLAGS, flags)
        + be32(wire.SET_KEY_TYPE, kind)
        + be32(wire.SET_KEY_LEN, length)
        + be32(wire.SET_ID, number)
    )


def _element(item: Element) -> bytes:
    data = wire.verdict(*item.verdict) if item.verdict else b""
    return wire.element(item.key, data, end=item.end)


def _add_elements(made: Batch, name: str, elements: Iterable[bytes]) -> None:
    for body in wire.element_lists(TABLE, name, elements):
        made.add(wire.MSG_NEWSETELEM, body, f"elements of set {name}")


def _change_elements(
    made: Batch, kind: int, elements: Elements, ancestors: Iterable[int], verb: str
) -> None:
    """Each cgroup's element in the map and, where its dispatch names one, in that set."""
    by_set: dict[str, list[bytes]] = {}
    for cgroup_id, dispatch in elements.items():
        key = _CGROUP_ID.pack(cgroup_id)
        before, after = _map_element(dispatch.verdict)
        by_set.setdefault(CGROUP_MAP, []).append(before + key + after)
        if dispatch.set_name:
            by_set.setdefault(dispatch.set_name, []).append(wire.element(key))
    by_set[ANCESTOR_SET] = [wire.element(_CGROUP_ID.pack(each)) for each in ancestors]
    for name, encoded in by_set.items():
        for body in wire.element_lists(TABLE, name, encoded):
            made.add(kind, body, f"the cgroups to {verb} in set {name}")
