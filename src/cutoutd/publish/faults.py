"""What can go wrong while results get their names, and how a system call's failure reads on this side.

This module must not decide what is tried again: the daemon does, by the family of the error.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import TemporaryError, from_output_error

if TYPE_CHECKING:
    from collections.abc import Iterator


class TargetTakenError(TemporaryError):
    """A file that is not ours came to stand where a result was to go; plan again."""

    title = "The name was taken"
    advice = "The result gets another name by itself."
    delay_s = 0.0


class ResultLostError(TemporaryError):
    """A staged result is neither in its staging directory nor under its name; compute it again."""

    title = "The finished result is gone"
    advice = "It is computed again by itself."
    delay_s = 0.0


@contextmanager
def storage_faults(where: Path) -> Iterator[None]:
    """Turn an OSError from writing results into the error tree.

    Args:
        where: the directory that is written to, for a failure that names no file.

    Raises:
        OutputError: for every OSError of the block.
    """
    try:
        yield
    except OSError as error:
        path = Path(error.filename) if isinstance(error.filename, str) else where
        raise from_output_error(error, path) from error
