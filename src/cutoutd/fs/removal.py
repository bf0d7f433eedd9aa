"""Removing what has a name that is ours alone, whatever somebody made of it.

It must not be used where people put files.
"""

from __future__ import annotations

import errno
import os
import shutil
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_DEPTH: Final = 16
"""Of directories in each other, for what is removed a part at a time."""


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory; what is not there is no error, and no link is followed.

    Raises:
        OSError: the disk refuses.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if path.is_symlink() or not path.is_dir():
            raise
        shutil.rmtree(path)


def remove_some(directory: int, name: str, most: int, depth: int = 0) -> int:
    """Remove a file, a link or a directory as far as a number of removals goes; no link is followed.

    What another process fills again and again holds nobody up in this way.

    Args:
        directory: descriptor of what it lies in.
        name: of it.
        most: removals; above 0.
        depth: of directories above it that are being removed as well.

    Returns:
        How many removals are left; 0: some of it may still be there.

    Raises:
        OSError: the disk refuses, or there are too many directories in each other.
    """
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return most
    except (IsADirectoryError, PermissionError) as error:
        if depth == MAX_DEPTH:
            raise OSError(errno.ELOOP, "too many directories in each other", name) from error
    else:
        return most - 1
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(inner) as entries:
            names = [entry.name for entry in islice(entries, most)]
        for one in names:
            most = remove_some(inner, one, most, depth + 1)
            if most == 0:
                return 0
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)
    return most - 1
