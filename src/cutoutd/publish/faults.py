"""What can go wrong while results get their names, and how a system call's failure reads on this side.

This module must not decide what is tried again: the daemon does, by the family of the error.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError, TemporaryError, from_os_error

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


# For a source these mean that it was removed; for a result, that the place it goes to is not as it should be.
_NO_PLACE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST})


@contextmanager
def storage_faults(where: Path) -> Iterator[None]:
    """Turn an OSError from writing results into the error tree.

    Args:
        where: the directory that is written to, for a failure that names no file.

    Raises:
        StorageError: for every OSError of the block.
    """
    try:
        yield
    except OSError as error:
        path = Path(error.filename) if isinstance(error.filename, str) else where
        if error.errno in _NO_PLACE:
            raise StorageError(
                f"the place for results is not as it should be ({error.strerror})",
                path=path,
                advice="See that the output folder is there and that no file stands where a sub-folder "
                "belongs; work goes on by itself.",
            ) from error
        raise from_os_error(error, path) from error
