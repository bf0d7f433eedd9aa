"""The way from a folder's root down to what is in it, on which no symbolic link is followed.

It goes from directory to directory by descriptor, so that a directory that is replaced by a link on the
way cannot lead out of the folder either. It must not open anything but directories.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_directory(root: str, directory: str) -> int:
    """Open a directory of a folder; the caller closes it.

    Args:
        root: the folder's input; may itself be a link, since its owner named it.
        directory: relative to the root; empty for the root itself.

    Returns:
        A descriptor.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if no such directory is inside the root.
    """
    parts = directory.split("/") if directory else []
    if not {"", ".", ".."}.isdisjoint(parts):
        raise FileNotFoundError(errno.ENOENT, "not a path inside the folder", directory)
    here = os.open(root, _DIRECTORY)
    try:
        for part in parts:
            below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
    except OSError:
        os.close(here)
        raise
    return here


@contextmanager
def parent_of(root: str, path: str) -> Iterator[tuple[int, str]]:
    """Open the directory a file is in.

    Args:
        root: the folder's input; may itself be a link, since its owner named it.
        path: of the file, relative to the root.

    Yields:
        A descriptor of the directory, and the file's name in it.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if no such directory is inside the root.
    """
    directory, _, name = path.rpartition("/")
    if name in {"", ".", ".."}:
        raise FileNotFoundError(errno.ENOENT, "not a path inside the folder", path)
    descriptor = open_directory(root, directory)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)
