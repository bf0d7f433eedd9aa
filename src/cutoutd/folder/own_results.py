"""Results of cutoutd among the new files of one folder: they are recorded as skipped, so that none is cut again as a new picture.

A person renames an output that lies in the input, or moves or copies cutouts there. What the sidecars do not tell, the journal
does once a worker has read the file (`cutoutd.delivery.known_pictures`). Owned by the folder's monitor thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.fs.tree import Tree
from cutoutd.job_detail import OWN_RESULT_DETAIL
from cutoutd.jobs import JobState
from cutoutd.logs import get
from cutoutd.publish.own_results import OwnResults

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.folder.scope import FolderScope
    from cutoutd.jobs import Version

HASHED_AT_ONCE: Final = 256 << 20
"""Bytes of files with sidecars after which other files have their turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """The file is a result, and is not cut."""


class ArrivedResults:
    """The results among one folder's new files.

    Args:
        scope: the folder.
    """

    def __init__(self, scope: FolderScope) -> None:
        self._scope = scope
        self._own = OwnResults()
        self._hashed_bytes = 0
        self._log = get(folder=scope.name)

    def note(self, path: str) -> None:
        """Note a file that was seen; it may be a sidecar."""
        self._own.note(path)

    def forget_others(self, is_there: Callable[[str], bool]) -> None:
        """Drop the sidecars that are not there any more."""
        self._own.forget_others(is_there)

    def begin(self) -> None:
        """Begin a turn, in which a limited number of bytes is hashed."""
        self._hashed_bytes = 0

    @property
    def has_turn(self) -> bool:
        """Whether more may be hashed in this turn."""
        return self._hashed_bytes < HASHED_AT_ONCE

    def is_one(self, version: Version) -> bool | None:
        """Whether a settled file is a result; None if it is to be asked again in another turn.

        Raises:
            OSError: it cannot be read.
        """
        tree = Tree(Path(self._scope.root), self._scope.boundary())
        if not self._own.may_be(tree, version.path):
            return False
        if not self.has_turn:
            return None
        self._hashed_bytes += version.size
        return self._own.has(tree, version.path)

    def skip(self, versions: list[Version]) -> list[Version]:
        """Record results as skipped.

        Raises:
            StorageError: the journal cannot be written.
        """
        self._scope.sources.accept(
            self._scope.name, versions, state=JobState.SKIPPED, detail=OWN_RESULT_DETAIL
        )
        for version in versions:
            self._log.info("file.own-result", path=version.path, why=OWN_RESULT_DETAIL["why"])
        return versions
