"""The directory of an input for complete pictures that programs hand in; they are renamed from there, and need no quiet time.

It is inside the input, so that one rename gives a file its name, and its own name is reserved for cutoutd, so that no scan
enters it. Other processes than the daemon may put files there. This module must not decide what becomes of a file.
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
"""A file that no request names is removed this long after its last write: its upload was broken off."""


class SpoolFile:
    """An open file in the directory for complete pictures.

    Attributes:
        name: name in that directory.
        descriptor: file descriptor, open for reading and writing.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor


@contextmanager
def new_file(root: Path) -> Iterator[SpoolFile]:
    """Create a file for a picture, and close it at the end; after an error it is removed.

    Args:
        root: path of the folder's input.

    Raises:
        OSError: the disk or share refuses.
    """
    tree, name = Tree(root), uuid4().hex
    if tree.make(DIRECTORY, mode=0o700):
        tree.sync("")
    with tree.entry(path_of(name)) as entry:
        # With the permissions of other files in the folder, since it becomes one of them.
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
    """Open an existing file, to continue writing it.

    Raises:
        OSError: the file is missing, or the disk or share refuses.
    """
    with Tree(root).entry(path_of(name)) as entry:
        descriptor = entry.open(os.O_RDWR)
        try:
            yield SpoolFile(name, descriptor)
        finally:
            os.close(descriptor)


def settle(root: Path, file: SpoolFile) -> None:
    """Sync a complete file and its directory to the disk.

    Raises:
        OSError: the disk or share fails.
    """
    sync(file.descriptor)
    Tree(root).sync(DIRECTORY)


def discard(root: Path, name: str, boundary: Boundary | None = None) -> None:
    """Remove a file, if it exists.

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
        root: path of the folder's input.
        in_use: names of files that requests still need.
        boundary: what inside the input does not belong to the folder; None: everything belongs to it.

    Returns:
        The names of the removed files.

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
    """Return the path of a file of this directory, relative to the input."""
    return f"{DIRECTORY}/{name}"


def is_name(text: str) -> bool:
    """Whether a text is a valid name of such a file, so that it cannot lead to another directory."""
    return 0 < len(text) <= 64 and text.isascii() and text.isalnum()  # noqa: PLR2004 -- twice what ours have


def _is_old(entry: Entry) -> bool:
    try:
        status = entry.lstat()
    except FileNotFoundError:
        return False
    # A clock that was set back makes nothing old; one that was set forward is noticed a day later.
    return stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > UNCLAIMED_S
