"""What a folder needs beside its places: background pictures that can be read, and free space."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from cutoutd.folder.status import Closed, paused, standing_by
from cutoutd.folder_trouble import FolderTrouble

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cutoutd.settings.schema import Folder

_MIB = 1 << 20


def missing_background(folder: Folder) -> Closed | None:
    """Return why the folder is closed if a background picture cannot be read; else None."""
    for path in folder.backgrounds:
        try:
            os.stat(path)  # noqa: PTH116 -- as for the input
        except OSError as error:
            why = f"the background picture {path} cannot be read ({error.strerror}); work goes on by itself"
            return standing_by(why, FolderTrouble.BACKGROUND)
    return None


def missing_room(places: Iterable[Path], min_free_mb: int) -> Closed | None:
    """Return why the folder is closed if too little space is free at one of the places; else None.

    Raises:
        OSError: one cannot be reached.
    """
    for place in places:
        free_mb = shutil.disk_usage(place).free // _MIB
        if free_mb < min_free_mb:
            return paused(
                f"less than min_free_disk_mb = {min_free_mb} MiB are free at {place}: "
                "free some space; work goes on by itself",
                FolderTrouble.DISK_FULL,
            )
    return None
