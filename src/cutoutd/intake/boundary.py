"""Where a folder ends although the directories go on: what lies inside its input and belongs to somebody else.

Directories are known by device and inode, by their path, by the marker of another folder, and on shares by what this
run stages in them. It must not follow links, and opens nothing but directories and markers.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.fs.tree import file_id
from cutoutd.lease import marker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.fs.tree import FileId

_ANOTHER: Final = "another directory has taken the folder's place"


class ApartError(FileNotFoundError):
    """What is there belongs to somebody else, so that for this folder it is not there."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.ENOENT, why, path)


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderBoundary:
    """What is not entered, although it lies inside a folder's input.

    Attributes:
        root: identity of the input; None: it is not stable, or not known.
        ids: identities of directories that belong to somebody else, and whose they are.
        paths: files and directories that belong to somebody else, relative to the input, and whose they are.
        uuid: of the folder's own marker; None: markers are not looked at.
        sign: name of a file, relative to a directory, by which this run's outputs are known on shares; empty: none.
    """

    root: FileId | None = None
    ids: Mapping[FileId, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    uuid: str | None = None
    sign: str = ""

    def check_root(self, directory: int) -> None:
        """See that an open directory is the input that was looked at.

        Raises:
            OSError: it is another one.
        """
        if self.root is not None and file_id(os.fstat(directory)) != self.root:
            raise OSError(errno.ESTALE, _ANOTHER)

    def check_directory(self, directory: int, path: str) -> None:
        """See that an open directory inside the input belongs to the folder.

        Args:
            directory: its descriptor.
            path: relative to the input.

        Raises:
            ApartError: it belongs to somebody else.
        """
        self.check_path(path)
        whose = self.ids.get(file_id(os.fstat(directory))) if self.ids else None
        whose = whose or self._by_marker(directory, path) or self._by_sign(directory)
        if whose is not None:
            raise ApartError(path, whose)

    def check_path(self, path: str) -> None:
        """See that a path belongs to the folder, as far as its text tells.

        Raises:
            ApartError: it belongs to somebody else.
        """
        if (whose := self.paths.get(path)) is not None:
            raise ApartError(path, whose)

    def _by_marker(self, directory: int, path: str) -> str | None:
        if self.uuid is None:
            return None
        try:
            found = marker.read_in(directory, path)
        except (OSError, CutoutdError):
            return f"it holds a file {marker.NAME} that cannot be read; remove that if it is no folder of its own"
        if found is None or found.uuid == self.uuid:
            return None
        return f"it holds another folder's {marker.NAME}; remove that if it is no folder of its own any more"

    def _by_sign(self, directory: int) -> str | None:
        if not self.sign:
            return None
        try:
            os.stat(self.sign, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return "results go to it"
