"""Receiving the datagrams that TPROXY hands over, with their original destinations."""

from __future__ import annotations

import socket

from cgtproxy.proxy.io.addresses import Address
from cgtproxy.proxy.io.sockets import Socket
from cgtproxy.proxy.worker.udp.sessions import OpenSession, Session, Sessions

_MOST_AT_ONCE = 32
_CONTROL = 64  # bytes, for one address
_DONTWAIT = int(socket.MSG_DONTWAIT)


class DatagramListener:
    """Receives from one UDP socket; `open_session` makes a session for a client, or drops it."""

    def __init__(self, sock: Socket, open_session: OpenSession, sessions: Sessions) -> None:
        self._sock = sock
        self._family = sock.family
        self._open_session = open_session
        self._sessions = sessions
        self._table = sessions.table()
        sessions.reactor.watch(sock, self._on_readable)

    def close(self) -> None:
        """Leave the socket to its other holders."""
        self._sessions.reactor.unwatch(self._sock)
        self._sock.close()

    def _on_readable(self) -> None:
        self._sessions.reactor.later(self._receive)

    def _receive(self) -> None:
        sessions, table = self._sessions, self._table
        for _ in range(_MOST_AT_ONCE):
            try:
                count, control, _, client = self._sock.recvmsg_into(
                    (sessions.buffer,), _CONTROL, _DONTWAIT
                )
            except OSError:  # none is left, or the socket is closed
                return
            session = table.get(client)
            if session is None or session.closed:
                session = self._open(client)
                if session is None:
                    continue
                table[client] = session
                sessions.sweep_later()
            if control:
                session.forward(control[0][2], sessions.view[:count])

    def _open(self, client: Address) -> Session | None:
        if not self._sessions.admit_client():
            return None
        try:
            return self._open_session(self._family, client)
        except OSError as error:
            self._sessions.no_socket(error.strerror)
            return None
