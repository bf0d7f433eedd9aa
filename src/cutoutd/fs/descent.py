"""The way from a folder's root down to what is in it, on which no symbolic link is followed.

It goes from directory to directory by descriptor, so that a directory that is replaced by a link on the
way cannot lead out of the folder either. It must not open anything but directories.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Boundary(Protocol):
    """What inside a root belongs to somebody else; `cutoutd.intake.boundary` has it. Each raises an OSError over it."""

    def check_root(self, directory: int) -> None:
        """See that an open directory is the root that is meant."""

    def check_directory(self, directory: int, path: str) -> None:
        """See that an open directory inside the root, at this relative path, belongs to the folder."""

    def check_path(self, path: str) -> None:
        """See that a relative path belongs to the folder, as far as its text tells."""


def open_directory(
    root: str, directory: str, boundary: Boundary | None = None, *, is_known_above: bool = False
) -> int:
    """Open a directory of a folder; the caller closes it.

    Args:
        root: the folder's input; may itself be a link, since its owner named it.
        directory: relative to the root; empty for the root itself.
        boundary: what inside the root belongs to somebody else; None: nothing.
        is_known_above: all directories above it were found to be the folder's own just now.

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
        if boundary is not None:
            boundary.check_root(here)
        for number, part in enumerate(parts, 1):
            below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
            if boundary is not None and (number == len(parts) or not is_known_above):
                boundary.check_directory(here, "/".join(parts[:number]))
    except BaseException:  # a part with a zero byte is a ValueError
        os.close(here)
        raise
    return here


@contextmanager
def parent_of(root: str, path: str, boundary: Boundary | None = None) -> Iterator[tuple[int, str]]:
    """Open the directory a file is in.

    Args:
        root: the folder's input; may itself be a link, since its owner named it.
        path: of the file, relative to the root.
        boundary: what inside the root belongs to somebody else; None: nothing.

    Yields:
        A descriptor of the directory, and the file's name in it.

    Raises:
        OSError: it cannot be opened; one of ``NO_WAY`` if no such directory is inside the root.
    """
    directory, _, name = path.rpartition("/")
    if name in {"", ".", ".."}:
        raise FileNotFoundError(errno.ENOENT, "not a path inside the folder", path)
    if boundary is not None:
        boundary.check_path(path)
    descriptor = open_directory(root, directory, boundary)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)
