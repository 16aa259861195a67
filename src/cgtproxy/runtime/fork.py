"""Running a function in a process of its own: what it loads and allocates goes with it."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

from cgtproxy.errors import CgtproxyError

T = TypeVar("T")


def run_in_fork(function: Callable[[], T]) -> T:
    """What `function` returns, or the CgtproxyError that it raises; both must be picklable."""
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise CgtproxyError(f"cannot create a process: {error.strerror}") from error
    if not pid:
        code = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as file:
                pickle.dump(_outcome(function), file)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)  # nothing of the caller's must run at the end of its copy
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    _, status = os.waitpid(pid, 0)
    if status:
        how = os.waitstatus_to_exitcode(status)
        raise CgtproxyError(f"a child process failed ({how})", "is there enough memory?")
    outcome: T | CgtproxyError = pickle.loads(data)
    if isinstance(outcome, CgtproxyError):
        raise outcome
    return outcome


def _outcome(function: Callable[[], T]) -> T | CgtproxyError:
    try:
        return function()
    except CgtproxyError as error:
        return error
