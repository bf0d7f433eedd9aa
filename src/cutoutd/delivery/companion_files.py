"""The companions of one folder's originals, which other programs wrote: they go with their original.

Used only by the folder's delivery thread, once the original is gone.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import IMPOSSIBLE_NAME, NO_WAY
from cutoutd.errors import StorageError
from cutoutd.intake import companions
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.original_file import CleanupOutcome, current_sha256, delete_original
from cutoutd.publish.verified import private
from cutoutd.settings.types import Companions, Originals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.fs.tree import Tree
    from cutoutd.publish.originals import OriginalsFolder
    from cutoutd.settings.schema import Folder

_TRIES: Final = 3
"""After this many tries, a companion that keeps being saved is tried again later."""


class CompanionFiles:
    """The companions of one folder's originals.

    Args:
        folder: settings of the folder.
        kept: the folder for originals; None: they are not moved.
    """

    def __init__(self, folder: Folder, kept: OriginalsFolder | None) -> None:
        self._folder = folder
        self._kept = kept

    @property
    def _go(self) -> bool:
        """Whether companions go with their originals."""
        match self._folder.companions:
            case Companions.AUTO:
                return self._folder.originals is Originals.MOVE
            case Companions.FOLLOW:
                return self._folder.originals is not Originals.KEEP
            case Companions.KEEP:
                return False

    def of(self, inputs: Tree, path: str) -> tuple[str, ...]:
        """Return the companions of an original that is gone; none if another file has its path by now.

        Raises:
            StorageError: the disk or share fails.
        """
        if not self._go:
            return ()
        with storage_faults(inputs.root):
            return () if _is_there(inputs, path) else tuple(_of(inputs, path))

    def follow(self, inputs: Tree, path: str, to: str, job: int) -> tuple[str, ...]:
        """Move or delete the companions of an original that is gone.

        Args:
            inputs: the folder's input.
            path: path of the original in the input.
            to: its path in the folder for originals; empty: it was deleted.
            job: id of the job.

        Returns:
            The paths of the companions that were moved or deleted.

        Raises:
            NameRefusedError: the disk refuses the name of one.
            StorageError: one cannot be read, moved or deleted, is open for writing, or keeps being saved.
        """
        found = self.of(inputs, path)
        return tuple(one for one in found if self._take(inputs, one, path, to, job))

    def _take(self, inputs: Tree, companion: str, path: str, to: str, job: int) -> bool:
        for _ in range(_TRIES):
            with storage_faults(inputs.root):
                sha256 = current_sha256(inputs, companion)
            if sha256 is None:
                return False  # gone by now, or not a regular file
            if self._kept is not None and to:
                target = companions.renamed(companion, path, to)
                outcome = self._kept.move(inputs, companion, sha256, job=job, to=target).outcome
            else:
                outcome = delete_original(inputs, companion, sha256).outcome
            if outcome is not CleanupOutcome.CHANGED:
                return outcome is not CleanupOutcome.GONE
        raise StorageError("it is being written to", path=inputs.root / companion)


def _of(inputs: Tree, path: str) -> Iterator[str]:
    """Yield the companions of an original that exist now."""
    for companion in companions.by_name(path):
        if _is_there(inputs, companion):
            yield companion
            yield from _duplicates(inputs, path)
    directory, slash, _ = path.rpartition("/")
    found = [companion for companion in companions.by_stem(path) if _is_there(inputs, companion)]
    # Listed only for originals that have such a companion; for all originals it would take quadratic time.
    beside = tuple(chain(*inputs.list(directory))) if found else ()
    for companion in found:
        if not companions.may_be_anothers(path, companion, beside):
            yield companion
    for folder in _directories(inputs, f"{directory}{slash}{companions.CAPTURE_ONE}"):
        if _is_there(inputs, companion := companions.settings_in(path, folder)):
            yield companion


def _duplicates(inputs: Tree, path: str) -> Iterator[str]:
    for number in range(1, companions.MAX_DUPLICATES + 1):
        companion, picture = companions.duplicate(path, number)
        if not _is_there(inputs, companion):
            return
        if not _is_there(inputs, picture):
            yield companion


def _directories(inputs: Tree, directory: str) -> list[str]:
    try:
        return inputs.list(directory)[0]
    except OSError as error:
        if error.errno in NO_WAY:
            return []
        raise


def _is_there(inputs: Tree, path: str) -> bool:
    """Whether a path exists, or exists again once an interrupted removal is undone."""
    try:
        with inputs.find(path) as entry:
            return entry is not None and (entry.exists() or private(entry).exists())
    except OSError as error:
        if error.errno in IMPOSSIBLE_NAME:  # as for an original whose own name is almost as long as possible
            return False
        raise
