"""One direction of a TCP connection, which moves bytes until it would block.

Small transfers are copied through one buffer that all share. A read that fills it switches the
direction to splice(2), until too little comes a few times in a row. What cannot be written waits in
`buffer` or in `pipe`, and nothing more is read before it is gone: a slow reader slows its sender.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from cgtproxy.proxy.io.reactor import FAILED, HUNG_UP, READABLE, URGENT, WRITABLE
from cgtproxy.proxy.io.sockets import Socket, reset
from cgtproxy.proxy.worker.tcp.pipes import SIZE, Pipe

if TYPE_CHECKING:
    from cgtproxy.proxy.worker.tcp.relay import Relays

COPY = 1 << 16  # bytes
_WORTH_SPLICING = COPY // 4
_MOST_SMALL = 8  # transfers in a row that were not: between full buffers a few are smaller
# At a time: with more others wait longer, with less a transfer costs more. After waiting for a slow
# sink it is SIZE: each read has the sender send more, by timers that would interrupt the second.
_PIECE = SIZE // 2
_ROUNDS = 2  # before others get their turn
_DONTWAIT = int(socket.MSG_DONTWAIT)
_WITH_FIN = _DONTWAIT | int(socket.MSG_MORE)
_SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Direction:
    """From `source` (fd `fd`) to `sink` (fd `sink_fd`); `twin` is the other direction."""

    __slots__ = (
        "buffer",
        "bulk",
        "closed",
        "fd",
        "finished",
        "hung_up",
        "idle",
        "kept_alive",
        "muted",
        "nonblocking",
        "pipe",
        "piped",
        "relays",
        "sink",
        "sink_fd",
        "source",
        "twin",
        "urgent",
        "writes",
    )
    twin: Direction

    def __init__(self, relays: Relays, source: Socket, sink: Socket) -> None:
        self.relays = relays
        self.source, self.fd = source, source.fileno()
        self.sink, self.sink_fd = sink, sink.fileno()
        self.buffer: bytes | None = None
        self.pipe: Pipe | None = None
        self.piped = 0  # bytes in the pipe
        self.idle = 0  # sweeps since something happened
        self.bulk = 0  # small transfers that it would take to go back to copying
        self.closed = self.finished = self.hung_up = self.urgent = False
        self.kept_alive = self.muted = self.nonblocking = False
        self.writes = 0

    def on_event(self, mask: int) -> None:
        """Events of `source`: if it can be written to, that is the twin's affair."""
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
            if twin.buffer is not None or twin.piped:
                twin.pump()
                if self.closed:
                    return
        if mask & READABLE:
            if self.buffer is None and not self.piped:
                self.pump()
            elif not self.muted:  # else a slow sink's source would wake us in vain all the time
                self.muted = True
                self.relays.reactor.mute(self.fd)

    def pump(self) -> None:
        """Move what can be moved."""
        if self.finished:
            return
        piece = SIZE if self.piped else _PIECE
        if (self.buffer is not None or self.piped) and not self._flush():
            return
        if self.pipe:
            self._release()
        if self.bulk:
            self._splice(piece)
        else:
            self._copy()

    def _flush(self) -> bool:
        """Whether nothing is left."""
        if self.buffer is None:
            return self._drain()
        try:
            sent = self.sink.send(self.buffer, _DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            self.abort()
            return False
        self.buffer = self.buffer[sent:] if sent < len(self.buffer) else None
        return self.buffer is None

    def _drain(self) -> bool:
        """Whether the pipe is empty now."""
        assert self.pipe
        while self.piped:  # not all at once does not mean that there is no more room
            try:
                self.piped -= os.splice(self.pipe.reader, self.sink_fd, self.piped, flags=_SPLICE)
            except BlockingIOError:
                return False
            except OSError:
                self.abort()
                return False
        return True

    def _copy(self) -> None:
        relays = self.relays
        while True:
            try:
                count = self.source.recv_into(relays.buffer, COPY, _DONTWAIT)
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
            if not self._send(count, _WITH_FIN if last else _DONTWAIT):
                return
            if last:
                self._end()
                return
            if count == COPY:
                self._start_bulk()
                return
            if not self.urgent:
                self._unmute()
                return

    def _unmute(self) -> None:
        """Where the source is empty; what came meanwhile is reported at once."""
        if self.muted:
            self.muted = False
            self.relays.reactor.unmute(self.fd)

    def _send(self, count: int, flags: int) -> bool:
        """Whether all of the shared buffer's first bytes went out; else the rest is kept."""
        view = self.relays.view
        try:
            sent = self.sink.send(view[:count], flags)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return False
        if sent < count:
            self.buffer = bytes(view[sent:count])
            return False
        if self.writes < 2:
            self.writes += 1
            if self.writes == 2:  # only from the second on would Nagle's algorithm wait
                self.sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def _start_bulk(self) -> None:
        self.bulk = _MOST_SMALL
        if not self.nonblocking:  # splice(2) has no MSG_DONTWAIT
            self.nonblocking = self.twin.nonblocking = True
            self.source.setblocking(False)
            self.sink.setblocking(False)
        self._splice(_PIECE)

    def _splice(self, piece: int) -> None:
        # Urgent data stop splice(2) for good, whatever follows them.
        pipe = self.pipe = None if self.urgent else self.relays.pipes.take()
        if pipe is None:
            self.bulk = 0
            self.relays.reactor.soon(self.pump)
            return
        self.relays.reactor.moved_bulk(self.fd)
        total = 0
        for _ in range(_ROUNDS):
            try:
                count = os.splice(self.fd, pipe.writer, piece, flags=_SPLICE)
            except BlockingIOError:
                self._unmute()
                break
            except OSError:
                self.abort()
                return
            if not count:  # the end, or urgent data before it
                self._release()
                self._copy()
                return
            total += count
            self.piped = count
            if not self._drain():
                return
        else:
            self.relays.reactor.soon(self.pump)
        self._release()
        self.bulk = _MOST_SMALL if total >= _WORTH_SPLICING else self.bulk - 1

    def _release(self) -> None:
        assert self.pipe
        self.relays.pipes.give_back(self.pipe)
        self.pipe = None

    def _end(self) -> None:
        """The source has sent all, and so have we."""
        if not self.writes:
            # Perhaps the sink is not connected yet: shutdown(2) would keep it from that.
            self.writes, self.buffer = 1, b""
            if not self._flush():
                return
        self.finished = True
        if self.twin.finished:
            self.relays.leave(self)
            self.source.close()
            self.sink.close()
            return
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """End both directions by RST: what was under way is lost, and both sides shall know."""
        if not self.closed:
            self.relays.leave(self)
            reset(self.source)
            reset(self.sink)
