"""What can go wrong, told as: what, and what to do about it."""

from __future__ import annotations

import os


class ExitCode:
    """sysexits(3) codes; systemd shows their names."""

    USAGE = os.EX_USAGE
    UNAVAILABLE = os.EX_UNAVAILABLE  # the kernel lacks something
    TEMPFAIL = os.EX_TEMPFAIL  # another instance is running
    NOPERM = os.EX_NOPERM
    CONFIG = os.EX_CONFIG


class CgtproxyError(Exception):
    """An error its reader can act on: `message` says what and where, `hint` what to do."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class PermissionMissingError(CgtproxyError):
    """The process lacks a privilege (exit code 77)."""

    exit_code = ExitCode.NOPERM


class NothingToServeError(CgtproxyError):
    """No TPROXY has an upstream."""

    exit_code = ExitCode.CONFIG


class AlreadyRunningError(CgtproxyError):
    """Another instance runs in this network namespace (exit code 75)."""

    exit_code = ExitCode.TEMPFAIL
