"""Runs a program on a kernel that has no nfnetlink, as far as the program can tell.

    without_nfnetlink.py COMMAND...

A seccomp filter refuses netlink sockets of that protocol in the kernel's words.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SYS_SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
NETLINK_NETFILTER = 12
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # classic BPF, linux/bpf_common.h
# Offsets in struct seccomp_data: the number of the call, its first and its third argument.
NUMBER, FAMILY, PROTOCOL = 0, 16, 32

PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 0, 5, SYS_SOCKET),
    (LOAD, 0, 0, FAMILY),
    (JUMP_IF_EQUAL, 0, 3, socket.AF_NETLINK),
    (LOAD, 0, 0, PROTOCOL),
    (JUMP_IF_EQUAL, 0, 1, NETLINK_NETFILTER),
    (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPROTONOSUPPORT),
    (RETURN, 0, 0, SECCOMP_RET_ALLOW),
]


def main(command: list[str]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in PROGRAM))
    program = struct.pack("@HP", len(PROGRAM), ctypes.addressof(code))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program):
        raise OSError(ctypes.get_errno(), "seccomp")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
