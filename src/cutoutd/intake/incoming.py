"""The directory of an input in which programs put whole pictures, which are then renamed and so need no quiet time.

It lies in the input, so that its files get their names by one rename, and its name is one of ours, so that no scan enters it.
Whoever puts a file there need not be the daemon. It must not decide what becomes of a file.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from cutoutd.errnos import NO_WAY
from cutoutd.fs.durable import sync
from cutoutd.fs.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Boundary, Entry

DIRECTORY: Final = ".cutoutd-incoming"

UNCLAIMED_S: Final = 86_400.0
"""After so long without being written to, a file that no request names is removed: its upload was broken off."""


class SpoolFile:
    """A file that is being put there.

    Attributes:
        name: in the directory.
        descriptor: open for reading and writing.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor


@contextmanager
def new_file(root: Path) -> Iterator[SpoolFile]:
    """Make a file for a picture that is to come, and close it at the end; after an error it is removed.

    Args:
        root: the folder's input.

    Raises:
        OSError: the disk or share refuses.
    """
    tree, name = Tree(root), uuid4().hex
    if tree.make(DIRECTORY, mode=0o700):
        tree.sync("")
    with tree.entry(path_of(name)) as entry:
        # As others' files in the folder are: what it becomes is one of them.
        descriptor = entry.open(os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            yield SpoolFile(name, descriptor)
        except BaseException:
            with suppress(OSError):
                entry.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


@contextmanager
def reopened(root: Path, name: str) -> Iterator[SpoolFile]:
    """Open a file that is there, to go on writing it.

    Raises:
        OSError: it is not there, or the disk or share refuses.
    """
    with Tree(root).entry(path_of(name)) as entry:
        descriptor = entry.open(os.O_RDWR)
        try:
            yield SpoolFile(name, descriptor)
        finally:
            os.close(descriptor)


def settle(root: Path, file: SpoolFile) -> None:
    """See a file that is whole, and its name, onto the disk.

    Raises:
        OSError: the disk or share failed at it.
    """
    sync(file.descriptor)
    Tree(root).sync(DIRECTORY)


def discard(root: Path, name: str, boundary: Boundary | None = None) -> None:
    """Remove a file, if it is there.

    Raises:
        OSError: the disk or share refuses.
    """
    try:
        with Tree(root, boundary).entry(path_of(name)) as entry:
            entry.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in NO_WAY:
            raise


def sweep(root: Path, in_use: Collection[str], boundary: Boundary | None = None) -> list[str]:
    """Remove files whose upload was broken off long ago.

    Args:
        root: the folder's input.
        in_use: names of files that requests wait with.
        boundary: what inside the input belongs to somebody else; None: nothing.

    Returns:
        Their names.

    Raises:
        OSError: the disk or share refuses.
    """
    tree, swept = Tree(root, boundary), []
    try:
        _, names = tree.list(DIRECTORY)
    except OSError as error:
        if error.errno in NO_WAY:
            return []
        raise
    for name in names:
        if name not in in_use and is_name(name):
            with tree.entry(path_of(name)) as entry:
                if _is_old(entry):
                    entry.unlink(missing_ok=True)
                    swept.append(name)
    return swept


def path_of(name: str) -> str:
    """Of a file, relative to the input."""
    return f"{DIRECTORY}/{name}"


def is_name(text: str) -> bool:
    """Whether a text can be the name of such a file: it leads nowhere else."""
    return 0 < len(text) <= 64 and text.isascii() and text.isalnum()  # noqa: PLR2004 -- twice what ours have


def _is_old(entry: Entry) -> bool:
    try:
        status = entry.lstat()
    except FileNotFoundError:
        return False
    # A clock that was put back makes nothing old, and one that was put forward is seen for what it is a day later.
    return stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > UNCLAIMED_S
