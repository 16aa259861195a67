"""inotify(7), which Python's library lacks."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from cgtproxy.errors import CgtproxyError

IN_CREATE = 0x100
IN_DELETE = 0x200
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_DONT_FOLLOW = 0x2000000
IN_ISDIR = 0x40000000

_EVENT = struct.Struct("=iIII")
# 8,000 events of some 40 bytes: fewer reads when many come at once.
_READ_SIZE = 1 << 18
_LONGEST = _EVENT.size + 256  # NAME_MAX + 1

_libc = ctypes.CDLL(None, use_errno=True)
_add_watch = _libc.inotify_add_watch
_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_remove_watch = _libc.inotify_rm_watch
_remove_watch.argtypes = (ctypes.c_int, ctypes.c_int)


class Event(NamedTuple):
    """Something that happened to `name` in the directory of a watch; `mask` has IN_* bits."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """An inotify instance. Raises CgtproxyError where there can be no more of them."""

    def __init__(self) -> None:
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise CgtproxyError(
                f"cannot use inotify: {os.strerror(code)}",
                "raise the limit: `sysctl fs.inotify.max_user_instances=512`"
                if code == errno.EMFILE
                else "",
            )

    def fileno(self) -> int:
        """The descriptor, readable when there are events."""
        return self._fd

    def close(self) -> None:
        """End all watches."""
        os.close(self._fd)

    def add(self, path: bytes, mask: int) -> int:
        """Watch a file; the watch descriptor. Raises OSError."""
        watch: int = _add_watch(self._fd, path, mask)
        if watch < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        return watch

    def remove(self, watch: int) -> None:
        """End a watch, also that of a file which is gone; one that has ended is none to end."""
        _remove_watch(self._fd, watch)

    def read(self) -> Iterator[Event]:
        """The events that are there now."""
        while True:
            try:
                data = os.read(self._fd, _READ_SIZE)
            except BlockingIOError:
                return
            offset = 0
            while offset < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size
                yield Event(watch, mask, data[offset : offset + length].rstrip(b"\0"))
                offset += length
            if len(data) <= _READ_SIZE - _LONGEST:
                return  # there was room for one more
