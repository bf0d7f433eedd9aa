"""Keeps the uploader running beside a supervisor, which could not start it: its children have no network either.

Started as ``python -P -m cutoutd.cli.keeper PARENT COMMAND...`` before the supervisor gives the network up. It must
import nothing but the standard library and what binds it to its parent's life, and must not read any configuration.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0

LASTED_S: Final = 60.0
"""An uploader that has run for longer did not fail at its start: the next pause is short again."""

END_S: Final = 5.0
"""How long an uploader that was asked to end may take; what it was sending is told to be unknown."""

_HOPELESS: Final = frozenset({2, 3})
"""Exit codes that no other start would change: wrong configuration, and one that runs already."""


@contextmanager
def kept(command: Sequence[str]) -> Iterator[None]:
    """Have an uploader beside this process while the body runs.

    Args:
        command: the uploader.
    """
    me = [sys.executable, "-P", "-m", "cutoutd.cli.keeper", str(os.getpid()), *command]
    # A process group of its own: a Ctrl-C in the terminal is for the supervisor, which ends it when it has ended.
    keeper = subprocess.Popen(me, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603 -- our own program
    try:
        yield
    finally:
        keeper.terminate()
        try:
            keeper.wait(END_S + 1)
        except subprocess.TimeoutExpired:
            keeper.kill()


def main() -> int:
    """Start the command again and again, until asked to end."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    from cutoutd.sandbox.limits import die_with_parent  # noqa: PLC0415 -- after the arguments are known to be right

    asked = False
    child: subprocess.Popen[bytes] | None = None

    def end(_: int, __: object) -> None:
        nonlocal asked
        asked = True
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    die_with_parent(parent)
    pause_s = FIRST_PAUSE_S
    while not asked:
        begun_s = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 -- as we were told by our parent
        code = _wait(child)
        if code in _HOPELESS:
            return code
        if time.monotonic() - begun_s > LASTED_S:
            pause_s = FIRST_PAUSE_S
        end_s = time.monotonic() + pause_s
        while not asked and time.monotonic() < end_s:
            time.sleep(0.1)
        pause_s = min(MAX_PAUSE_S, 2 * pause_s)
    if child is not None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
        child.kill()
    return 0


def _wait(child: subprocess.Popen[bytes]) -> int:
    """The child's end; a signal in between is heard."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(0.5)


if __name__ == "__main__":
    sys.exit(main())
