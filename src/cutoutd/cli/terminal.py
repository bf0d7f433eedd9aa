"""A terminal: its foreground group, a progress line, and standard output whose reader is gone.

Ctrl-C is sent to all processes of the foreground group. If another program has started us there and waits, as `make run`
does, that program would print "Interrupt" and an error although we end in order.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType


@contextmanager
def in_the_foreground() -> Iterator[None]:
    """Make this process group the terminal's foreground group, so that Ctrl-C reaches it alone; undo this at the end.

    Nothing is done without a terminal, or if another group is in its foreground, as with ``make run &``. Ctrl-Z is ignored
    meanwhile: no process would be left to continue us.
    """
    terminal = _terminal()
    if terminal is None:
        yield
        return
    before = os.getpgrp()
    stopping = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    # A background process that changes the foreground group gets this signal, which would stop it.
    taking = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
        yield
    finally:
        with suppress(OSError):  # the terminal is gone, or the other program is
            os.tcsetpgrp(terminal, before)
            os.setpgid(0, before)
        signal.signal(signal.SIGTTOU, taking)
        signal.signal(signal.SIGTSTP, stopping)
        os.close(terminal)


def _terminal() -> int | None:
    """Return the controlling terminal, if our group is in its foreground and has other members."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        if os.tcgetpgrp(terminal) == os.getpgrp() != os.getpid():
            return terminal
    os.close(terminal)
    return None


_Item = TypeVar("_Item")

_CLEAR: Final = "\r\x1b[K"


class ProgressLine:
    """A progress line on stderr; nothing where stderr is not a terminal."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shows:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def say(self, words: str) -> None:
        """Replace the progress line."""
        if self._shows:
            width = shutil.get_terminal_size().columns
            print(f"{_CLEAR}{words[: width - 1]}", end="", file=sys.stderr, flush=True)

    def count(self, items: Iterable[_Item], total: int, doing: str) -> Iterator[_Item]:
        """Yield the items, and show how many of them are done."""
        self.say(f"{doing} 0/{total}")
        for number, item in enumerate(items, 1):
            yield item
            self.say(f"{doing} {number}/{total}")


def close_quietly() -> None:
    """Redirect standard output to /dev/null: what Python still buffers would fail again at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


@contextmanager
def ignoring_broken_pipe() -> Iterator[None]:
    """Flush standard output at the end; if the reader of the pipe is gone, drop the rest."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        close_quietly()
