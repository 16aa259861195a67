"""A connection to one of systemd's managers that is made again whenever it breaks."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from cgtproxy.cgroup.dbus.conversation import Conversation, News
from cgtproxy.errors import CgtproxyError
from cgtproxy.runtime.backoff import Backoff
from cgtproxy.runtime.event_loop import EventLoop

READ_SIZE = 1 << 15  # bytes, then others have their turn
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0  # seconds
FORGIVEN = 0.1  # failures a second

_UCRED = struct.Struct("=iII")  # unix(7): pid, uid, gid


class Link:
    """With the manager that `who` names to people; `owner` must be listening, None for any.

    `tell` gets the news, and must not close the link; `fault` says why there is none just now.
    """

    def __init__(
        self,
        loop: EventLoop,
        address: str,
        who: str,
        owner: int | None,
        tell: Callable[[News], None],
    ) -> None:
        self._loop = loop
        self._address = address
        self._who = who
        self._owner = owner
        self._tell = tell
        self._socket: socket.socket | None = None
        self._closed = False
        self._backoff = Backoff(FIRST_RETRY, LONGEST_RETRY, leak=FORGIVEN)
        self.conversation = Conversation(bus=owner is None, units={})
        self.fault: CgtproxyError | None = None
        self._dial()

    @property
    def settled(self) -> bool:
        """Whether all units have been listed, or cannot be now."""
        return self.fault is not None or self.conversation.settled

    def close(self) -> None:
        """End the connection, for good."""
        self._closed = True
        self._hang_up()

    def _dial(self) -> None:
        if self._closed:
            return
        self.conversation = Conversation(bus=self._owner is None, units=self.conversation.units)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._loop.watch(self._socket, self._ready)
        try:
            self._socket.connect(self._address)
            self._check_owner(self._socket)
            self._send(self._socket)
        except (OSError, CgtproxyError) as error:
            self._broke(error)

    def _check_owner(self, sock: socket.socket) -> None:
        """The directory is the user's own: something else's socket may be linked there."""
        ucred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        _, uid, _ = _UCRED.unpack(ucred)
        if self._owner not in (None, uid):
            raise CgtproxyError(f"{self._address} is user {uid}'s")

    def _ready(self) -> None:
        sock = self._socket
        assert sock is not None
        try:
            with suppress(BlockingIOError):  # only to be written
                data = sock.recv(READ_SIZE)
                if not data:
                    raise CgtproxyError("the connection was closed")
                self._take(data)
            self._send(sock)
        except (OSError, CgtproxyError) as error:
            self._broke(error)

    def _take(self, data: bytes) -> None:
        listed = self.conversation.listed
        for news in self.conversation.receive(data):
            self._tell(news)
        if self.conversation.listed and not listed:
            self.fault = None

    def _send(self, sock: socket.socket) -> None:
        outgoing = self.conversation.outgoing
        with suppress(BlockingIOError):
            while outgoing:
                del outgoing[: sock.send(outgoing)]
        self._loop.watch_writable(sock, bool(outgoing))

    def _broke(self, error: OSError | CgtproxyError) -> None:
        self._hang_up()
        if self.fault is None:
            reason = error.message if isinstance(error, CgtproxyError) else error.strerror
            denied = isinstance(error, PermissionError) and os.geteuid() != 0
            self.fault = CgtproxyError(
                f"no answer from {self._who} ({reason})",
                "a user's manager talks to root only; `monitor: both` sees its cgroups all the same"
                if denied
                else "",
            )
        now = time.monotonic()
        self._backoff.failed(now)
        self._loop.after(self._backoff.delay(now), self._dial)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None
