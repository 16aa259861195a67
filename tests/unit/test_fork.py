"""Functions in a process of their own, and what the server is spared by them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cgtproxy.config.faults import ConfigError, Fault
from cgtproxy.errors import CgtproxyError, PermissionMissingError
from cgtproxy.runtime.fork import run_in_fork


def test_the_result_comes_back_from_another_process() -> None:
    here = os.getpid()
    value, pid = run_in_fork(lambda: ("x" * 1_000_000, os.getpid()))
    assert (value, pid == here) == ("x" * 1_000_000, False)


def test_nothing_of_it_is_left() -> None:
    pid = run_in_fork(os.getpid)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_an_error_keeps_its_type_text_and_exit_code() -> None:
    def fail() -> None:
        raise PermissionMissingError("no", "be root")

    with pytest.raises(PermissionMissingError) as caught:
        run_in_fork(fail)
    assert (str(caught.value), caught.value.exit_code) == ("no; be root", os.EX_NOPERM)


def test_all_faults_come_back() -> None:
    faults = (Fault("f", 1, 2, "a", "wrong"), Fault("f", 3, 4, "b", "wrong too", "be right"))

    def fail() -> None:
        raise ConfigError(faults)

    with pytest.raises(ConfigError) as caught:
        run_in_fork(fail)
    assert caught.value.faults == faults
    assert str(caught.value) == "f:1:2: a: wrong\nf:3:4: b: wrong too; be right"


def test_a_killed_process_is_told_of() -> None:
    with pytest.raises(CgtproxyError, match=r"failed \(-9\)"):
        run_in_fork(lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize("module", ["yaml", "re2", "ssl", "asyncio", "sqlite3", "dns"])
def test_the_server_does_not_load_what_few_need(module: str) -> None:
    code = f"import sys, cgtproxy.commands.proxy; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
