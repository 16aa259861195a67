"""A netlink socket: requests that are answered at once, dumps, and notifications."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from cgtproxy.errors import CgtproxyError, PermissionMissingError
from cgtproxy.runtime.netlink import wire

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

SO_ATTACH_FILTER = 26
# struct sock_filter and the classic BPF instructions used (linux/filter.h)
_BPF = struct.Struct("=HBBI")
BPF_LD_W_ABS, BPF_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06

PRIVILEGE = "run as root or with CAP_NET_ADMIN"

SEND_BUFFER = 64 << 20  # the transaction with 100,000 cgroups has 4 MB; only a limit
RECEIVE_SIZE = 1 << 18
LAST_ANSWERS = (wire.NLMSG_DONE, wire.NLMSG_ERROR)


class NetlinkError(CgtproxyError):
    """The kernel refused message number `seq` of a request with `errno`."""

    def __init__(self, code: int, seq: int, text: str, what: str) -> None:
        reason = f"{os.strerror(code)} ({errno.errorcode.get(code, code)})"
        super().__init__(f"the kernel refused {what}: {reason}{': ' + text if text else ''}")
        self.errno = code
        self.seq = seq


class OverrunError(Exception):
    """Notifications were lost (ENOBUFS): look at everything again."""


class NetlinkSocket:
    """A netlink socket for requests, dumps and, with `groups`, notifications (netlink(7))."""

    def __init__(self, protocol: int, groups: Sequence[int] = ()) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol
        )
        self._socket.bind((0, 0))
        self.portid: int = self._socket.getsockname()[0]
        for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK):
            with contextlib.suppress(OSError):  # kernels before 4.12, 4.3, 4.20
                self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._force(SO_SNDBUFFORCE, socket.SO_SNDBUF)
        try:
            for group in groups:
                self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except PermissionError as error:
            self._socket.close()
            raise PermissionMissingError("not permitted to watch nftables", PRIVILEGE) from error

    def _force(self, forced: int, plain: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, forced, SEND_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, plain, SEND_BUFFER)

    def fileno(self) -> int:
        """The descriptor, readable when notifications have come."""
        return self._socket.fileno()

    def ignore(self, portid: int) -> None:
        """Have the kernel drop notifications of what this port did: no wake-up, no overrun."""
        # nlmsg_pid is 12 bytes into the message, and BPF loads it as big-endian.
        wanted = int.from_bytes(struct.pack("=I", portid), "big")
        program = b"".join(
            (
                _BPF.pack(BPF_LD_W_ABS, 0, 0, 12),
                _BPF.pack(BPF_JEQ_K, 0, 1, wanted),
                _BPF.pack(BPF_RET_K, 0, 0, 0),
                _BPF.pack(BPF_RET_K, 0, 0, 0xFFFFFFFF),
            )
        )
        code = ctypes.create_string_buffer(program)
        fprog = struct.pack("@HP", len(program) // _BPF.size, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def request(self, messages: Sequence[bytes], names: Sequence[str]) -> None:
        """Send messages whose sequence numbers are their indices; the last one asks for an ACK.

        The kernel carries out a request inside send(2), so the answers are there when it
        returns. Raises NetlinkError for the first one refused, naming it by `names[seq]`.
        """
        try:
            self._socket.send(b"".join(messages))
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, 0, "", names[-1]) from error
        acknowledged = False
        failure: wire.Ack | None = None
        for answer in self._drain():
            if answer.kind == wire.NLMSG_ERROR:
                ack = wire.parse_ack(answer)
                acknowledged = True
                if ack.errno and failure is None:
                    failure = ack
        if failure is not None:
            what = names[failure.seq] if failure.seq < len(names) else "the transaction"
            if failure.errno == errno.EPERM:
                raise PermissionMissingError(f"not permitted to change {what}", PRIVILEGE)
            raise NetlinkError(failure.errno, failure.seq, failure.text, what)
        if not acknowledged:
            raise NetlinkError(errno.EIO, 0, "no acknowledgement", names[-1])

    def dump(self, kind: int, body: bytes, what: str) -> list[wire.Message]:
        """All answers to one dump request; asked again where the kernel says it was torn."""
        while True:
            self._socket.send(wire.message(kind, wire.NLM_F_REQUEST | wire.NLM_F_DUMP, body))
            answers: list[wire.Message] = []
            torn = False
            for answer in self._receive_dump():
                torn |= bool(answer.flags & wire.NLM_F_DUMP_INTR)
                if answer.kind not in LAST_ANSWERS:
                    answers.append(answer)
                    continue
                ack = wire.parse_ack(answer)  # a dump that fails on its way says so in NLMSG_DONE
                if ack.errno == errno.EPERM:
                    raise PermissionMissingError(f"not permitted to read {what}", PRIVILEGE)
                if ack.errno == errno.EINTR:
                    torn = True
                elif ack.errno:
                    raise NetlinkError(ack.errno, 0, ack.text, f"to list {what}")
            if not torn:
                return answers

    def notifications(self) -> list[wire.Message]:
        """What has come in on the groups; raises OverrunError where some of it was lost."""
        return list(self._drain())

    def _drain(self) -> Iterator[wire.Message]:
        while True:
            try:
                data = self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise OverrunError from error
                raise
            yield from wire.parse_messages(data)

    def _receive_dump(self) -> Iterator[wire.Message]:
        while True:
            for answer in wire.parse_messages(self._socket.recv(RECEIVE_SIZE)):
                yield answer
                if answer.kind in LAST_ANSWERS:
                    return


class Watch:
    """Tells when somebody but `writer` (a port id) changed what we care about."""

    def __init__(
        self,
        protocol: int,
        groups: Sequence[int],
        writer: int,
        concerned: Callable[[Iterable[wire.Message]], bool],
    ) -> None:
        self._socket = NetlinkSocket(protocol, groups)
        self._socket.ignore(writer)
        self._concerned = concerned

    def fileno(self) -> int:
        """The descriptor, readable when notifications have come."""
        return self._socket.fileno()

    def close(self) -> None:
        """Watch no longer."""
        self._socket.close()

    def read(self) -> bool:
        """Whether to look again, as also when notifications were lost (ENOBUFS)."""
        try:
            return self._concerned(self._socket.notifications())
        except OverrunError:
            return True
