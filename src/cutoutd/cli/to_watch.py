"""The pair of folders that a person names: one that is not there may be a slip, and is not made without a word."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from cutoutd.cli.printing import printable, short
from cutoutd.errors import UsageError


def require_folders(watched: Path, results: Path, *, both: bool) -> None:
    """See that a pair of folders is there. On a terminal it is asked whether a missing one is to be made.

    Args:
        watched: where pictures are dropped.
        results: where cutouts go. The daemon makes it, where nobody can be asked.
        both: it does not: both must be there.

    Raises:
        UsageError: one is not there, and is not to be made.
    """
    at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    _require(watched, at_terminal=at_terminal)
    if at_terminal or both:
        _require(results, at_terminal=at_terminal)


def _require(folder: Path, *, at_terminal: bool) -> None:
    if os.path.isdir(folder):  # noqa: PTH112 -- Path.is_dir raises where it may not look
        return
    if os.path.lexists(folder):
        raise UsageError("this is a file and no folder", path=folder, advice="Name a folder.")
    if at_terminal and _agrees(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"this folder cannot be made ({error.strerror})", path=folder, advice="Name another one."
            ) from error
        return
    raise UsageError(
        "this folder is not there",
        path=folder,
        advice=f"Make it (mkdir -p {shlex.quote(printable(os.fspath(folder)))}), or name another one.",
    )


def _agrees(folder: Path) -> bool:
    print(f"{printable(short(folder))} is not there. Make it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
