"""Mirrored sub-folders: made when a result needs them, and synced up to the folder they are in.

This module must not make the folder itself: when a share is not mounted, that would fill the disk under it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.fs.tree import Tree


class Directories:
    """The sub-folders of one or more trees, with a memory of which are known to be on the disk.

    A sub-folder's own name is safe only once its parent is synced. That is done for each the first time a
    result goes there, and not for every result.
    """

    def __init__(self) -> None:
        self._durable: set[tuple[Tree, str]] = set()

    def make(self, tree: Tree, directory: str, *, mode: int = 0o777) -> None:
        """Make a sub-folder and those between, where they are missing; the root must be there.

        Raises:
            FileNotFoundError: the root is not there.
            NotADirectoryError: something else has the name of a sub-folder.
        """
        try:
            with tree.open(directory):
                return
        except FileNotFoundError:
            self._durable -= {(tree, made) for made in tree.make(directory, mode=mode)}

    def sync(self, places: Iterable[tuple[Tree, str]]) -> None:
        """See the names in each directory onto the disk, and its own in its parents.

        Args:
            places: pairs of a tree and a directory in it.

        Raises:
            OSError: the disk or share failed at it; calling again syncs all of them again.
        """
        wanted: dict[tuple[Tree, str], None] = {}
        for tree, directory in places:
            is_known = (tree, directory) in self._durable
            for below in [directory] if is_known else _up(directory):
                wanted[tree, below] = None
        for tree, directory in wanted:
            tree.sync(directory)
        self._durable |= wanted.keys()


def _up(directory: str) -> list[str]:
    """The directory, its parents, and the root at the end."""
    way = [directory]
    while way[-1]:
        way.append(way[-1].rpartition("/")[0])
    return way
