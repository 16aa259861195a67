"""Our table in the kernel: taken over, changed, watched, removed."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import NamedTuple

from cgtproxy.errors import AlreadyRunningError, CgtproxyError
from cgtproxy.nft import wire
from cgtproxy.nft.batch import TABLE_NAME, Batch, batch, removal
from cgtproxy.nft.model import TABLE
from cgtproxy.nft.state import Change
from cgtproxy.runtime.netlink.socket import NetlinkError, NetlinkSocket, Watch
from cgtproxy.runtime.netlink.wire import Message, parse_attributes

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
NFGENMSG = 4  # bytes of header before the attributes

# Owned, a table is out of reach of `nft flush ruleset` and `nft delete table`; persistent, it
# outlives us, so that nothing goes direct between a crash and the next start.
OWNERSHIP: tuple[int, ...] = (wire.TABLE_F_OWNER | wire.TABLE_F_PERSIST, wire.TABLE_F_OWNER, 0)

MODULES = {
    "tproxy": "nft_tproxy",
    "socket": "nft_socket",
    "dnat": "nft_nat",
    "reject": "nft_reject_inet",
    "fib": "nft_fib_inet",
}


NO_NFTABLES = "it needs CONFIG_NF_TABLES: try `modprobe nf_tables`"


class Seen(NamedTuple):
    """A table of our name: NFT_TABLE_F_*, and whose it is."""

    flags: int
    owner: int  # netlink port id, which is the pid of who made the socket; 0: nobody


class NfTables:
    """The one writer of the table. The socket is the table's owner: it lives as long as we do."""

    def __init__(self) -> None:
        try:
            self._socket = NetlinkSocket(NETLINK_NETFILTER)
        except OSError as error:
            if error.errno != errno.EPROTONOSUPPORT:
                raise
            raise CgtproxyError("this kernel has no nfnetlink", NO_NFTABLES) from error
        self._ownership = list(OWNERSHIP)

    def close(self) -> None:
        """Give up the table, which stays if it is persistent."""
        self._socket.close()

    @property
    def portid(self) -> int:
        """The socket's netlink port id: who makes the changes that are ours."""
        return self._socket.portid

    @property
    def owned(self) -> bool:
        """Whether the kernel keeps everybody else from changing the table."""
        return bool(self._ownership[0] & wire.TABLE_F_OWNER)

    @property
    def persistent(self) -> bool:
        """Whether the kernel keeps the table after a crash."""
        return bool(self._ownership[0] & wire.TABLE_F_PERSIST)

    def look(self) -> Seen | None:
        """The table as it is in the kernel, None where there is none."""
        header = struct.pack(">BBH", wire.NFPROTO_INET, 0, 0)
        try:
            answers = self._socket.dump(wire.MSG_GETTABLE, header, "the nftables tables")
        except NetlinkError as error:
            raise CgtproxyError(error.message, NO_NFTABLES) from error
        for answer in answers:
            attributes = dict(parse_attributes(answer.body, NFGENMSG))
            if attributes.get(wire.TABLE_NAME) == TABLE.encode() + b"\0":
                return Seen(
                    _be32(attributes.get(wire.TABLE_FLAGS)), _be32(attributes.get(wire.TABLE_OWNER))
                )
        return None

    def commit(self, change: Change) -> None:
        """Carry out the change in one transaction; all or nothing.

        Raises AlreadyRunningError where a live process owns the table, PermissionMissingError, and
        CgtproxyError with a hint where the kernel lacks something.
        """
        while True:
            seen = self.look() if change.table else None
            if seen and seen.owner not in (0, self.portid):
                raise AlreadyRunningError(
                    f"table inet {TABLE} belongs to a running process, pid {seen.owner}",
                    "stop that one first",
                )
            made = batch(change, table_flags=self._ownership[0], exists=seen is not None)
            try:
                self._send(made)
            except NetlinkError as error:
                if not (self._refuses_flags(made, error) and len(self._ownership) > 1):
                    raise _explained(error) from error
                del self._ownership[0]
            else:
                return

    @staticmethod
    def _refuses_flags(made: Batch, error: NetlinkError) -> bool:
        unknown = error.errno in (errno.EOPNOTSUPP, errno.EINVAL)
        return unknown and made.names[error.seq] == TABLE_NAME

    def remove(self) -> None:
        """Remove the table, if it is there."""
        if self.look() is not None:
            self._send(removal())

    def _send(self, made: Batch) -> None:
        self._socket.request(made.encode(), made.names)


def watch(writer: int) -> Watch:
    """Tells when somebody changes the table, for kernels that cannot prevent it."""
    return Watch(NETLINK_NETFILTER, (NFNLGRP_NFTABLES,), writer, _Transactions())


class _Transactions:
    """Whether one that is over has touched our table.

    Its notices come one after another and end with NEWGEN (nf_tables_commit() in the kernel):
    mended in the middle of them, the rest would look like another change.
    """

    def __init__(self) -> None:
        self._touched = False  # by the one that is being told

    def __call__(self, notices: Iterable[Message]) -> bool:
        over = False
        for notice in notices:
            if notice.kind == wire.MSG_NEWGEN:
                over |= self._touched
                self._touched = False
            else:
                self._touched |= _concerns(notice)
        return over


def _concerns(notice: Message) -> bool:
    # The first byte is the family: a table of another one may have our table's name.
    if notice.body[:1] != bytes((wire.NFPROTO_INET,)):
        return False
    # In every object's message the first attribute is the table's name.
    _, name = next(parse_attributes(notice.body, NFGENMSG), (0, b""))
    return name == TABLE.encode() + b"\0"


def _be32(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big")


def _explained(error: NetlinkError) -> CgtproxyError:
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL):
        for word, module in MODULES.items():
            if f"{word} " in error.message.partition("`")[2]:
                return CgtproxyError(
                    error.message, f"the kernel needs the module {module}: try `modprobe {module}`"
                )
    return error


def check_permission() -> None:
    """Raises PermissionMissingError, or CgtproxyError where the kernel has no nftables."""
    nftables = NfTables()
    try:
        nftables.look()
    finally:
        nftables.close()
