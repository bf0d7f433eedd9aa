"""What a program is told where a disk, a share or the system refuses: each cause by a code of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import AWAY, FULL, OUT_OF_RESOURCES
from cutoutd.submitting import FolderReplacedError
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL_S: Final = 60
AWAY_S: Final = 15
_STATE: Final = "The disk of the state directory"


@contextmanager
def folder_faults() -> Iterator[None]:
    """Translate errors of a folder's disk or share.

    Raises:
        RefusedError: 503 or 507.
    """
    try:
        yield
    except FolderReplacedError as error:
        text = "Another directory is in the folder's place just now. Try again once its own one is back."
        raise RefusedError(503, "folder_away", text, retry_after_s=AWAY_S) from error
    except OSError as error:
        raise _of_folder(error) from error


@contextmanager
def state_faults() -> Iterator[None]:
    """Translate errors of the state directory's disk.

    Raises:
        RefusedError: 503 or 507.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:
            raise
        if error.errno in FULL:
            raise RefusedError(
                507, "disk_full", f"{_STATE} is full. Try again later.", retry_after_s=FULL_S
            ) from error
        text = f"{_STATE} refuses: {error.strerror}. `cutoutd status` says more; try again later."
        raise RefusedError(503, "state_disk", text, retry_after_s=FULL_S) from error


def disk_full() -> RefusedError:
    """Return the refusal of a full disk of a folder."""
    return RefusedError(
        507, "disk_full", "The disk of this folder is full. Try again later.", retry_after_s=FULL_S
    )


def check_room(root: Path, wanted: int, min_free_mb: int) -> None:
    """Check that a folder's disk has room for so many bytes, and keeps what is to stay free.

    Raises:
        OSError: the disk or share refuses to say.
        RefusedError: 507.
    """
    room = os.statvfs(root)
    if room.f_bavail * room.f_frsize - wanted < min_free_mb << 20:
        raise disk_full()


def _of_folder(error: OSError) -> OSError | RefusedError:
    if error.errno in OUT_OF_RESOURCES:
        return error  # answered for all methods alike
    if error.errno in FULL:
        return disk_full()
    if error.errno in AWAY:
        text = f"The folder is not there just now: {error.strerror}. Try again once it is."
        return RefusedError(503, "folder_away", text, retry_after_s=AWAY_S)
    text = f"The folder's disk or share refuses: {error.strerror}. Try again later."
    return RefusedError(503, "folder_refuses", text, retry_after_s=AWAY_S)
