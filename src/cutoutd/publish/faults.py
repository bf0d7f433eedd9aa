"""Errors of publication, and the translation of failed system calls.

This module must not decide what is tried again: the daemon does, by the family of the error.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errnos import DENIED, IMPOSSIBLE_NAME, LEASED, READ_ONLY
from cutoutd.errors import FailureCode, PermanentError, TemporaryError, from_output_error

if TYPE_CHECKING:
    from collections.abc import Iterator


class TargetTakenError(TemporaryError):
    """Another program's file has the name of a result; plan again."""

    code = FailureCode.TARGET_TAKEN
    title = "The name was taken"
    advice = "The result gets another name by itself."
    delay_s = 0.0


class ResultLostError(TemporaryError):
    """A staged result is neither in its staging directory nor under its name; compute it again."""

    code = FailureCode.RESULT_LOST
    title = "The finished result is gone"
    advice = "It is computed again by itself."
    delay_s = 0.0


class NameRefusedError(PermanentError):
    """The output accepts other names, but no form of this one; the picture fails alone."""

    code = FailureCode.NAME_REFUSED
    title = "The output refuses the name"
    advice = "The original is untouched. Rename it, or free the place; `cutoutd retry` tries it again."


class TargetHeldError(TemporaryError):
    """The file that a result is to replace cannot be replaced now, while the disk accepts other writes."""

    code = FailureCode.TARGET_HELD
    title = "The earlier result is held"
    advice = "Close it in other programs, or allow that it is replaced; it is tried again by itself."
    delay_s = 10.0


def name_refused(error: OSError, path: Path) -> NameRefusedError:
    """Return the error that explains why a name is refused while plain names are accepted.

    Args:
        error: the error of the system call.
        path: path of the file that was to get the name.
    """
    said = error.strerror or str(error)
    if error.errno in IMPOSSIBLE_NAME:
        return NameRefusedError(f"the disk or share takes no file of this name ({said})", path=path)
    if error.errno in READ_ONLY:
        kind = "permission was refused" if error.errno in DENIED else "it is read-only"
        return NameRefusedError(f"{kind} there, while the folder itself can be written ({said})", path=path)
    if error.errno == errno.EXDEV:
        return NameRefusedError(
            f"its sub-folder is on another disk than the output folder ({said})", path=path
        )
    return NameRefusedError(f"something else stands where it or its sub-folder belongs ({said})", path=path)


@contextmanager
def leases(path: Path) -> Iterator[None]:
    """Raise TargetHeldError if an open would have to wait for a lease.

    Args:
        path: path of a result or a sidecar.

    Raises:
        TargetHeldError: instead of EAGAIN.
    """
    try:
        yield
    except OSError as error:
        if error.errno != LEASED:
            raise
        raise TargetHeldError(
            "another program, such as a file server, has a lease on it", path=path
        ) from error


@contextmanager
def storage_faults(where: Path) -> Iterator[None]:
    """Translate an OSError from writing results into our errors.

    Args:
        where: the directory that is written to, for an error without a file name.

    Raises:
        OutputError: the translated OSError.
    """
    try:
        yield
    except OSError as error:
        # Of a rename's two names the second is known to people: the first is in a staging directory.
        name = error.filename2 or error.filename
        path = Path(name) if isinstance(name, str) else where
        raise from_output_error(error, path) from error
