"""What a person is told of a request to the daemon: it is done, it will be, or it cannot be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.journal.state import running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cutoutd.journal.commands import Commands

ANSWER_S: Final = 2.0
"""How long a command waits for a running daemon's answer, which comes within half a second unless a disk is slow."""

_LOOK_S: Final = 0.05


def pictures(count: int) -> str:
    """So many pictures, with the verb that follows: ``1 picture is``, ``3 pictures are``."""
    return f"{count} picture is" if count == 1 else f"{count} pictures are"


def say_what_came_of(
    requests: Sequence[int], commands: Commands, directory: Path, *, done: str, later: str
) -> None:
    """Say what becomes of requests; a running daemon that does not answer at once is not waited for.

    Args:
        requests: by their ids.
        commands: of the journal.
        directory: the state directory.
        done: what is said once a running daemon has obeyed.
        later: what is said if none runs, after "cutoutd is not running; when it starts, ".

    Raises:
        UsageError: a running daemon has refused one.
    """
    if running(directory) is None:
        print(f"cutoutd is not running; when it starts, {later}")
        return
    end_s = time.monotonic() + ANSWER_S
    answered = True
    for request in requests:
        while (why := commands.answer(request)) is None and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        if why:
            raise UsageError(f"cutoutd cannot do that: {why}", advice="`cutoutd jobs` lists the jobs.")
        answered = answered and why is not None
    print(done if answered else "cutoutd is busy and has not come to it yet; it will.")
