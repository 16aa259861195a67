"""One direction of a TCP connection, which moves bytes until it would block.

Small transfers are copied through one buffer that all share. A read that fills it switches the
direction to splice(2), until too little comes at once. What cannot be written waits in `buffer` or
in `pipe`, and nothing more is read before it is gone: a slow reader slows its sender.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from cgtproxy.proxy.io.reactor import FAILED, HUNG_UP, READABLE, URGENT, WRITABLE, Reactor
from cgtproxy.proxy.io.sockets import Socket, reset
from cgtproxy.proxy.worker.tcp.pipes import SIZE, Pipe, Pipes
from cgtproxy.proxy.worker.tcp.state import BLOCKED, CLOSED, COPYING, FINISHED, SPLICING, State

COPY = 1 << 16  # bytes
_WORTH_SPLICING = COPY // 4  # bytes at once
_PIECE = SIZE // 2  # bytes in a turn: with more, others wait longer
_DONTWAIT = int(socket.MSG_DONTWAIT)
_WITH_FIN = _DONTWAIT | int(socket.MSG_MORE)
_SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

OnClose: TypeAlias = "Callable[[Direction], None]"


class Shared:
    """What the directions of a process share.

    `on_close` is called with one of a connection's two directions when both are over, and the
    sockets are about to be closed.
    """

    def __init__(self, reactor: Reactor, pipes: Pipes, on_close: OnClose) -> None:
        self.reactor = reactor
        self.pipes = pipes
        self.on_close = on_close
        self.buffer = bytearray(COPY)
        self.view = memoryview(self.buffer)


@dataclass(slots=True, eq=False)
class Direction:
    """From `source` to `sink`; `twin` is the other direction. state.py has the states."""

    shared: Shared
    source: Socket
    fd: int  # of the source
    sink: Socket
    sink_fd: int
    state: State = COPYING
    buffer: bytes | None = None  # what the sink has not taken yet, while copying
    pipe: Pipe | None = None  # likewise, while splicing
    piped: int = 0  # bytes in the pipe
    idle: int = 0  # sweeps since something happened
    hung_up: bool = False  # the source has sent its FIN
    urgent: bool = False  # the source has sent urgent data
    connecting: bool = False  # the sink is not known to be connected
    muted: bool = False  # the reactor does not report that the source can be read from
    twin: Direction = field(init=False, repr=False)

    def on_event(self, mask: int) -> None:
        """Take an event of `source`; that it can be written to is the twin's affair."""
        self.idle = 0
        if mask & HUNG_UP:
            self.hung_up = True
        if mask & URGENT:
            self.urgent = True
        if mask & FAILED:
            self.abort()
            return
        if mask & WRITABLE:
            twin = self.twin
            if twin.state is BLOCKED:
                twin.pump()
                if self.state is CLOSED:
                    return
        if mask & READABLE:
            if self.state is not BLOCKED:
                self.pump()
            elif not self.muted:  # else a slow sink's source would wake us in vain all the time
                self.muted = True
                self.shared.reactor.mute(self.fd)

    def pump(self) -> None:
        """Move what can be moved."""
        state = self.state
        if state is COPYING:
            self._copy()
        elif state is SPLICING:
            self._splice()
        elif state is BLOCKED:
            self._unblock()

    def keep(self, data: bytes) -> None:
        """Have `data` written before all that is read from now on."""
        self.buffer = data
        self.state = BLOCKED

    def _unblock(self) -> None:
        """Go on as before, if the sink takes all that was kept for it."""
        if self.pipe:
            if self._drain(self.pipe):
                self._release(self.pipe)
                self.state = SPLICING
                self._splice()
            return
        data, self.buffer = self.buffer, None
        if data is None or self._write(data, _DONTWAIT):
            self.state = COPYING
            self._copy()

    def _drain(self, pipe: Pipe) -> bool:
        """Whether the pipe is empty now."""
        while self.piped:  # not all at once does not mean that there is no more room
            try:
                self.piped -= os.splice(pipe.reader, self.sink_fd, self.piped, flags=_SPLICE)
            except BlockingIOError:
                self.state = BLOCKED
                return False
            except OSError:
                self.abort()
                return False
        return True

    def _copy(self) -> None:
        shared = self.shared
        while True:
            try:
                count = self.source.recv_into(shared.buffer, COPY, _DONTWAIT)
            except BlockingIOError:
                self._unmute()
                return
            except OSError:
                self.abort()
                return
            if not count:
                self._end()
                return
            # A short read means that there is no more, but for urgent data, which interrupt it;
            # what came before a FIN that is there already has been read then.
            last = self.hung_up and count < COPY and not self.urgent
            if not self._write(shared.view[:count], _WITH_FIN if last else _DONTWAIT):
                return
            if last:
                self._end()
                return
            if count == COPY:
                self._start_splicing()
                return
            if not self.urgent:
                self._unmute()
                return

    def _unmute(self) -> None:
        """Where the source is empty; what came meanwhile is reported at once."""
        if self.muted:
            self.muted = False
            self.shared.reactor.unmute(self.fd)

    def _write(self, data: bytes | memoryview, flags: int) -> bool:
        """Whether the sink has taken all of `data`; else the rest is kept."""
        try:
            sent = self.sink.send(data, flags)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return False
        if sent < len(data):
            self.keep(bytes(data[sent:]))
            return False
        return True

    def _start_splicing(self) -> None:
        self.state = SPLICING
        self.source.setblocking(False)  # splice(2) has no MSG_DONTWAIT
        self.sink.setblocking(False)
        self._splice()

    def _splice(self) -> None:
        # Urgent data stop splice(2) for good, whatever follows them.
        pipe = self.pipe = None if self.urgent else self.shared.pipes.take()
        if pipe is None:
            self.state = COPYING
            self.shared.reactor.soon(self.pump)
            return
        try:
            self.piped = count = os.splice(self.fd, pipe.writer, _PIECE, flags=_SPLICE)
        except BlockingIOError:
            self._release(pipe)
            self._unmute()
            return
        except OSError:
            self.abort()
            return
        if not count:  # the end, or urgent data before it
            self._release(pipe)
            self._copy()
        elif self._drain(pipe):
            self._release(pipe)
            if count < _WORTH_SPLICING:
                self.state = COPYING
            self.shared.reactor.soon(self.pump)  # others get their turn before there is more

    def _release(self, pipe: Pipe) -> None:
        self.shared.pipes.give_back(pipe)
        self.pipe = None

    def _end(self) -> None:
        """The source has sent all, and so have we."""
        if self.connecting:  # shutdown(2) would keep it from that; its next event comes back here
            self.state = BLOCKED
            return
        self.state = FINISHED
        if self.twin.state is FINISHED:
            self._leave()
            self.source.close()
            self.sink.close()
            return
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """End both directions by RST: what was under way is lost, and both sides shall know."""
        if self.state is not CLOSED:
            self._leave()
            reset(self.source)
            reset(self.sink)

    def _leave(self) -> None:
        """Both directions are over; their sockets are still to be closed."""
        shared, twin = self.shared, self.twin
        for each in (self, twin):
            each.state = CLOSED
            each.buffer = None
            shared.reactor.forget(each.fd)
            if each.pipe:
                shared.pipes.discard(each.pipe)
                each.pipe = None
        shared.on_close(self)
        del self.twin, twin.twin  # a cycle would wait for the garbage collector
