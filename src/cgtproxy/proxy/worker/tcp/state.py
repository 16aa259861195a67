"""The states of one direction of a TCP connection.

    state     │ something to read       │ the sink can be written to │ goes to
    ──────────┼─────────────────────────┼────────────────────────────┼───────────────────────────
    COPYING   │ recv(2), then send(2)   │ -                          │ SPLICING: a full buffer
    SPLICING  │ splice(2) by a pipe     │ -                          │ COPYING: few bytes
    BLOCKED   │ is left where it is     │ write what was kept        │ COPYING or SPLICING: all of
              │                         │                            │ that is written
    FINISHED  │ nothing comes           │ -                          │ CLOSED: the twin, too

COPYING and SPLICING become BLOCKED when the sink does not take all, so that a slow reader slows
its sender. They become FINISHED when the source's end (FIN) has been passed on. An error at either
socket makes both directions CLOSED, from any state.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """What a direction is at."""

    COPYING = auto()
    SPLICING = auto()
    BLOCKED = auto()
    FINISHED = auto()
    CLOSED = auto()


# They are compared at each event, and a global is found faster than a member of an Enum.
COPYING, SPLICING, BLOCKED, FINISHED, CLOSED = State
