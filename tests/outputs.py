"""The files of an output folder: all of them, or those that a user sees.

Both pass over what goes away meanwhile, as `Path.rglob` does not: a running daemon makes and removes staging directories.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_file(root: Path) -> list[Path]:
    """Return all files below a directory, with what is staged."""
    return sorted(_files(root, sees_hidden=True), key=os.fspath)


def published(root: Path, pattern: str = "*") -> list[Path]:
    """Return the files of a pattern below a directory, without what is hidden: what is staged is no result yet."""
    found = (path for path in _files(root, sees_hidden=False) if fnmatch.fnmatchcase(path.name, pattern))
    return sorted(found, key=os.fspath)


def _files(root: Path, *, sees_hidden: bool) -> Iterator[Path]:
    for directory, below, names in os.walk(root):
        if not sees_hidden:
            below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if (sees_hidden or not name.startswith(".")) and (path := Path(directory, name)).is_file():
                yield path
