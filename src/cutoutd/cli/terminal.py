"""A terminal: its foreground group, a line that says what is being done, and an output that nobody reads any more.

Ctrl-C is sent to all processes of the foreground group. Where another program has started us there and waits, as
`make run` does, it would end with "Interrupt" and an error although we end in order.
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
    """Have the terminal's keys for this process and its children alone, and give them back at the end.

    Nothing is done where there is no terminal, or where it is in others' hands, as with ``make run &``.
    Ctrl-Z is not obeyed meanwhile: nobody would be left to continue us.
    """
    terminal = _terminal()
    if terminal is None:
        yield
        return
    before = os.getpgrp()
    stopping = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    # Whoever is not in the foreground and takes it is stopped by these.
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
    """The terminal that controls us, if our group is in its foreground and more than ourselves."""
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


class Passing:
    """Says on a terminal what goes on, on stderr; says nothing anywhere else."""

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
        """What is being done now, in the place of what was said before."""
        if self._shows:
            width = shutil.get_terminal_size().columns
            print(f"{_CLEAR}{words[: width - 1]}", end="", file=sys.stderr, flush=True)

    def count(self, items: Iterable[_Item], total: int, doing: str) -> Iterator[_Item]:
        """Pass items on, and say how many of all are done."""
        self.say(f"{doing} 0/{total}")
        for number, item in enumerate(items, 1):
            yield item
            self.say(f"{doing} {number}/{total}")


def close_quietly() -> None:
    """Give standard output away: what Python still holds for it would fail once more at its exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


@contextmanager
def told_if_anyone_listens() -> Iterator[None]:
    """Print, all the way to the pipe; if nobody reads it, what is left is not said."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        close_quietly()
