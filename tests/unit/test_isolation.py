"""What an unforeseen exception is called: an internal error, or a limit of the system that is reached."""

from __future__ import annotations

import errno
import os

import pytest

from cutoutd.faults.isolation import lacks_resources, note_on, unforeseen


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        *(
            OSError(number, os.strerror(number))
            for number in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
        ),
    ],
    ids=repr,
)
def test_a_limit_that_is_reached_is_no_internal_error(error: Exception) -> None:
    """Nobody is asked to report it: the limit is to be raised, and the picture to be retried."""
    assert lacks_resources(error)
    assert "raise the limit" in note_on(error)
    said = str(unforeseen(error))
    assert "raise the limit" in said
    assert "cutoutd retry" in said
    assert "report" not in said


@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), ValueError("x"), OSError(errno.EIO, "Input/output error")], ids=repr
)
def test_anything_else_is_to_be_reported(error: Exception) -> None:
    """Also an error of a disk that reached a place where none is expected."""
    assert not lacks_resources(error)
    assert "report" in note_on(error)
    assert "report" in str(unforeseen(error))
