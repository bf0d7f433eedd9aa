"""A picture from standard input, and a cutout to standard output: both lie in a private directory meanwhile."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 1 << 20


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory of this user's alone, removed with all that is in it at the end.

    Raises:
        UsageError: there is no place for temporary files.
    """
    try:
        directory = tempfile.mkdtemp(prefix="cutoutd-")
    except OSError as error:
        raise UsageError(
            f"there is no place for temporary files ({error.strerror})",
            advice="Set TMPDIR to a directory that you may write to.",
        ) from error
    try:
        yield Path(os.path.realpath(directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def picture_from_input(directory: Path, most_bytes: int) -> Path:
    """Standard input, as a file.

    Args:
        directory: where it is put.
        most_bytes: more is not read: it would be refused.

    Raises:
        UsageError: it is a terminal, empty, or cannot be kept.
    """
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal", advice="Write `cutoutd cut - < a.jpg > a.png`.")
    path, left = directory / "stdin", most_bytes + 1
    try:
        with path.open("xb") as file:
            while left > 0 and (some := sys.stdin.buffer.read(min(left, _CHUNK))):
                file.write(some)
                left -= len(some)
    except OSError as error:
        raise UsageError(
            f"standard input cannot be read, or not be kept in {directory} ({error.strerror})",
            advice="Name a file.",
        ) from error
    if left > most_bytes:
        raise UsageError("standard input is empty", advice="Write `cutoutd cut - < a.jpg > a.png`.")
    return path


def refuse_terminal() -> None:
    """See that standard output is no terminal, which a picture would only harm.

    Raises:
        UsageError: it is one.
    """
    if sys.stdout.isatty():
        raise UsageError(
            "the cutout would be written to the terminal",
            advice="Write `> a.png` at the end, or name a file: -o a.png.",
        )


def cutout_to_output(path: Path) -> None:
    """A file, to standard output.

    Raises:
        BrokenPipeError: nobody reads it.
    """
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, _CHUNK)
    sys.stdout.buffer.flush()
