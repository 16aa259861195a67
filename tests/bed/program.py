"""A program under test or serving a test: started in a cgroup, its output kept line by line."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeVar

from .cgroup import Cgroup
from .waiting import TIMEOUT

T = TypeVar("T")


class Program:
    """`argv`, started by `start()` or on entering the context, ended on leaving it.

    `lines` holds what it wrote so far to stdout and stderr, in order. Leaving the context
    raises AssertionError when the program had ended by itself.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cgroup: Cgroup | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.argv = argv
        self.cgroup = cgroup
        self.env = env
        self.lines: list[str] = []
        self._news = threading.Condition()

    def start(self) -> Self:
        spawn = self.cgroup.spawn if self.cgroup else subprocess.Popen
        self.process: subprocess.Popen[bytes] = spawn(
            self.argv,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_line(self, pattern: str, *, since: int = 0, timeout: float = TIMEOUT) -> str:
        """The first line, from number `since` on, in which the regex `pattern` is found."""

        def found() -> str | None:
            return next((line for line in self.lines[since:] if re.search(pattern, line)), None)

        return self.wait_news(found, f"line with {pattern!r}", timeout)

    def wait_news(self, found: Callable[[], T | None], what: str, timeout: float = TIMEOUT) -> T:
        """The first value but None of `found`, asked again at each news, while the program runs."""
        deadline = time.monotonic() + timeout
        with self._news:
            while (value := found()) is None:
                left = deadline - time.monotonic()
                if self._ended:
                    raise AssertionError(f"no {what} before it ended. {self}")
                if left <= 0:
                    raise AssertionError(f"no {what} in {timeout:g} s. {self}")
                self._news.wait(left)
        return value

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for the end and for its last line; the exit code, or minus the signal's number."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.wait()

    def write(self, text: str) -> None:
        """To its standard input."""
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def kill(self) -> int:
        return self.stop(signal.SIGKILL)

    def __repr__(self) -> str:
        return f"Output of {self.argv}:\n{self.output}"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except AssertionError:  # it was not ready in time: it must not be there for the next test
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.running:
            self.stop()
        elif self.process.returncode > 0 and kind is None:
            raise AssertionError(f"ended by itself, exit code {self.process.returncode}. {self}")
