"""Mirrored sub-folders: made when a result needs them, and synced up to the folder they are in.

This module must not make the folder itself: when a share is not mounted, that would fill the disk under it.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from cutoutd.durable import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Directories:
    """The sub-folders of one or more roots, with a memory of which are known to be on the disk.

    A sub-folder's own name is safe only once its parent is synced. That is done for each the first time a
    result goes there, and not for every result.
    """

    def __init__(self) -> None:
        self._durable: set[Path] = set()

    def make(self, directory: Path, root: Path) -> None:
        """Make a sub-folder of ``root`` and those between, where they are missing; the root must be there.

        Raises:
            FileNotFoundError: the root is not there.
            NotADirectoryError: something else has the name of a sub-folder.
        """
        if directory.is_dir():
            return
        if not root.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(root))
        for path in reversed(_up_to(directory, root)[:-1]):
            try:
                path.mkdir()
            except FileExistsError:
                if not path.is_dir():
                    raise NotADirectoryError(
                        errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path)
                    ) from None
            else:
                self._durable.discard(path)

    def sync(self, places: Iterable[tuple[Path, Path]]) -> None:
        """See the names in each directory onto the disk, and its own in its parents.

        Args:
            places: pairs of a directory and its root.

        Raises:
            OSError: the disk or share failed at it; calling again syncs all of them again.
        """
        wanted: dict[Path, None] = {}
        for directory, root in places:
            is_known = directory in self._durable
            wanted |= dict.fromkeys([directory] if is_known else _up_to(directory, root))
        for directory in wanted:
            sync_directory(directory)
        self._durable |= wanted.keys()


def _up_to(directory: Path, root: Path) -> list[Path]:
    """The directory, its parents, and the root at the end."""
    depth = len(directory.relative_to(root).parts)
    return [directory, *directory.parents[:depth]]
