"""Numbers and layouts of nf_tables' netlink interface (linux/netfilter/nf_tables.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from cgtproxy.runtime.netlink.wire import attribute, be32, message, nested, string

NFPROTO_INET = 1

MSG_BATCH_BEGIN = 0x10
MSG_BATCH_END = 0x11
NFNL_SUBSYS_NFTABLES = 10
_SUBSYSTEM = NFNL_SUBSYS_NFTABLES << 8
MSG_NEWTABLE = _SUBSYSTEM | 0
MSG_GETTABLE = _SUBSYSTEM | 1
MSG_DELTABLE = _SUBSYSTEM | 2
MSG_NEWCHAIN = _SUBSYSTEM | 3
MSG_DELCHAIN = _SUBSYSTEM | 5
MSG_NEWRULE = _SUBSYSTEM | 6
MSG_DELRULE = _SUBSYSTEM | 8
MSG_NEWSET = _SUBSYSTEM | 9
MSG_NEWSETELEM = _SUBSYSTEM | 12
MSG_GETSETELEM = _SUBSYSTEM | 13
MSG_DELSETELEM = _SUBSYSTEM | 14
MSG_NEWGEN = _SUBSYSTEM | 15

TABLE_NAME = 1
TABLE_FLAGS = 2
TABLE_OWNER = 7
TABLE_F_OWNER = 0x2  # Linux 5.12
TABLE_F_PERSIST = 0x4  # Linux 6.9

CHAIN_TABLE = 1
CHAIN_NAME = 3
CHAIN_HOOK = 4
CHAIN_POLICY = 5
CHAIN_TYPE = 7
HOOK_NUM = 1
HOOK_PRIORITY = 2

RULE_TABLE = 1
RULE_CHAIN = 2
RULE_EXPRESSIONS = 4
LIST_ELEM = 1
EXPR_NAME = 1
EXPR_DATA = 2

SET_TABLE = 1
SET_NAME = 2
SET_FLAGS = 3
SET_KEY_TYPE = 4
SET_KEY_LEN = 5
SET_DATA_TYPE = 6
SET_ID = 10
SET_USERDATA = 13
SET_F_CONSTANT = 0x2
SET_F_INTERVAL = 0x4
SET_F_MAP = 0x8
DATA_TYPE_VERDICT = 0xFFFFFF00

ELEMENTS_TABLE = 1
ELEMENTS_SET = 2
ELEMENTS_LIST = 3
ELEM_KEY = 1
ELEM_DATA = 2
ELEM_FLAGS = 3
ELEM_F_INTERVAL_END = 1
DATA_VALUE = 1
DATA_VERDICT = 2
VERDICT_CODE = 1
VERDICT_CHAIN = 2

# The attributes of each expression.
META_DREG, META_KEY, META_SREG = 1, 2, 3
CT_DREG, CT_KEY, CT_DIRECTION, CT_SREG = 1, 2, 3, 4
BITWISE_SREG, BITWISE_DREG, BITWISE_LEN, BITWISE_MASK, BITWISE_XOR = 1, 2, 3, 4, 5
CMP_SREG, CMP_OP, CMP_DATA = 1, 2, 3
PAYLOAD_DREG, PAYLOAD_BASE, PAYLOAD_OFFSET, PAYLOAD_LEN = 1, 2, 3, 4
LOOKUP_SET, LOOKUP_SREG, LOOKUP_DREG, LOOKUP_FLAGS = 1, 2, 3, 5
LOOKUP_F_INV = 0x1
IMMEDIATE_DREG, IMMEDIATE_DATA = 1, 2
FIB_DREG, FIB_RESULT, FIB_FLAGS = 1, 2, 3
SOCKET_KEY, SOCKET_DREG, SOCKET_LEVEL = 1, 2, 3
TPROXY_FAMILY, TPROXY_REG_PORT = 1, 3
REJECT_TYPE, REJECT_ICMP_CODE = 1, 2
NAT_TYPE, NAT_FAMILY, NAT_REG_ADDR_MIN, NAT_REG_PROTO_MIN = 1, 2, 3, 5

VERDICTS = {"drop": 0, "accept": 1, "continue": -1, "jump": -3, "goto": -4, "return": -5}

# The length of a nested attribute has 16 bits; our largest element (fwmark to a verdict with the
# longest chain name) takes some 160 bytes.
ELEMENTS_PER_MESSAGE = 400


def nft_message(kind: int, flags: int, body: bytes, seq: int, *, resource: int = 0) -> bytes:
    """A netlink message with a struct nfgenmsg; `resource` is for the ends of a batch."""
    family = NFPROTO_INET if kind & _SUBSYSTEM else 0
    return message(kind, flags, struct.pack(">BBH", family, 0, resource) + body, seq)


def verdict(code: str, chain: str = "") -> bytes:
    """A verdict as the payload of a data attribute."""
    parts = [be32(VERDICT_CODE, VERDICTS[code])]
    if chain:
        parts.append(string(VERDICT_CHAIN, chain))
    return nested(DATA_VERDICT, *parts)


def expression(name: str, *attributes: bytes) -> bytes:
    """An expression in the list of a rule's."""
    return nested(LIST_ELEM, string(EXPR_NAME, name), nested(EXPR_DATA, *attributes))


def element(key: bytes, data: bytes = b"", *, end: bool = False) -> bytes:
    """A set element; `data` is a map element's verdict, `end` closes an interval."""
    parts = [nested(ELEM_KEY, attribute(DATA_VALUE, key))]
    if data:
        parts.append(nested(ELEM_DATA, data))
    if end:
        parts.append(be32(ELEM_FLAGS, ELEM_F_INTERVAL_END))
    return nested(LIST_ELEM, *parts)


def element_lists(table: str, set_name: str, elements: Iterable[bytes]) -> list[bytes]:
    """The bodies of as many messages as these elements need."""
    everything = list(elements)
    head = string(ELEMENTS_TABLE, table) + string(ELEMENTS_SET, set_name)
    return [
        head + nested(ELEMENTS_LIST, *everything[i : i + ELEMENTS_PER_MESSAGE])
        for i in range(0, len(everything), ELEMENTS_PER_MESSAGE)
    ]
