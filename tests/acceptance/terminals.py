"""A command on a terminal of 80 columns, with a person who reads and types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import time
from fcntl import ioctl
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

PATIENCE_S = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command with a terminal of its own, like that of a login shell.

    Args:
        command: program and arguments.
        environment: environment of the command.
        cwd: its working directory.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        self.said = ""
        self._seen = 0
        self._code: int | None = None
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(cwd)
            os.execvpe(command[0], list(command), dict(environment) | {"TERM": "xterm-256color"})  # noqa: S606 -- the test's own
        ioctl(self._terminal, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._terminal)

    def wait_for(self, words: str) -> None:
        """Read until some words appear."""
        end_s = time.monotonic() + PATIENCE_S
        while (at := self.text.find(words, self._seen)) < 0:
            goes_on = self._read() and time.monotonic() < end_s
            assert goes_on, f"{words!r} was never said: {self.text}"
        self._seen = at + len(words)

    def type(self, keys: str) -> None:
        """Type, as a person does; Ctrl-C is the character 3."""
        os.write(self._terminal, keys.encode())

    def end(self) -> int:
        """Read to the end. Returns the exit code, negative for a signal."""
        end_s = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < end_s, f"it does not end: {self.text}"
        self._code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        return self._code

    @property
    def text(self) -> str:
        """Return the printed text, without colours and cursor movements."""
        return _ESCAPES.sub("", self.said)

    def _read(self) -> bool:
        """Read what comes within a moment. Returns whether more may come."""
        if not select.select([self._terminal], [], [], 0.2)[0]:
            return True
        try:
            some = os.read(self._terminal, 65536)
        except OSError:  # the other end is gone
            return False
        self.said += some.decode("utf-8", "replace")
        return bool(some)
